// The overview: the clicks of all links, and short lists of links that matter now. It must not change anything.

import { get } from "./api.js";
import { barList, timeChart } from "./chart.js";
import { h, show } from "./dom.js";
import { skeleton } from "./endless.js";
import { openEditor } from "./editor.js";
import { exportButton } from "./export.js";
import { ago, count, moment, plural, shortCount, splitTarget, time } from "./format.js";
import { news } from "./link-actions.js";
import { access, mayWrite } from "./session.js";

/** @typedef {import("./types.js").Link} Link */

const SIZE = 8;

const BARS = 7;

/** @type {{ title: string, query: string, none: string, holds?: (link: Link) => boolean, value: (link: Link) => [string, string | null] }[]} `holds` is whether a row belongs to the list: rows without a value come last */
const LISTS = [
  { title: "Most clicks", query: "sort=-clicks&never_clicked=false", none: "No link has a click yet.", value: (link) => [shortCount(link.clicks), `${count(link.clicks)} clicks of people`] },
  { title: "Newest", query: "sort=-created_at", none: "No links yet.", value: ({ created_at: at }) => [ago(at), moment(at)] },
  { title: "Clicked last", query: "sort=-last_clicked_at&never_clicked=false", none: "No link has a click yet.", value: ({ last_clicked_at: at }) => (at ? [ago(at), moment(at)] : ["", null]) },
  { title: "Ending next", query: "state=active&sort=expires_at", none: "No link has an end.", holds: ({ expires_at: at }) => at !== null, value: ({ expires_at: at }) => (at ? [ago(at), moment(at)] : ["", null]) },
  { title: "Ended", query: "state=expired&sort=-updated_at", none: "No link has ended.", value: ({ expires_at: at }) => (at ? [ago(at), moment(at)] : ["", null]) },
];

const MISSES = "Asked for, and not there";

const BREAKDOWNS = [["referrers", "referrer", "Referrers"], ["countries", "country", "Countries"], ["devices", "device", "Devices"], ["browsers", "browser", "Browsers"]];

// The times of a series are by the clocks of its zone, and are read as those of UTC.
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

/** @type {import("./router.js").Screen} */
export async function overviewScreen(main, _place, signal) {
  const clicks = h("section", { class: "panel", "aria-label": "Clicks in 30 days" }, skeleton());
  const breakdowns = h("div", { class: "panels" });
  const lists = LISTS.map((list) => ({ list, element: h("section", { class: "panel" }, h("h2", {}, list.title), skeleton()) }));
  const misses = h("section", { class: "panel" }, h("h2", {}, MISSES), skeleton());
  show(main, h("div", { class: "head" }, h("h1", {}, "Overview"), h("span", { class: "push" }, exportButton("/events/export", () => new URLSearchParams({ event_type: "clicked" }), "clicks"))), clicks, h("div", { class: "panels two" }, lists.map(({ element }) => element), misses), breakdowns);
  const hasMisses = access().user_id === null;
  if (!hasMisses) misses.remove();
  // A code that has a link now is no miss.
  news.addEventListener("created", () => hasMisses && drawMisses(misses, signal).catch(() => {}), { signal });
  await Promise.all([drawClicks(clicks, breakdowns, signal), hasMisses ? drawMisses(misses, signal) : null, ...lists.map(({ list, element }) => drawList(element, list, signal))]);
}

/** @param {Element} panel @param {Element} breakdowns @param {AbortSignal} signal */
async function drawClicks(panel, breakdowns, signal) {
  const zone = encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
  const [{ data: now }, { headers }] = await Promise.all([get(`/stats?per=day&timezone=${zone}`, signal), get("/urls?per_page=1", signal)]);
  const links = headers.get("x-total-count") ?? "0";
  const { previous } = now;
  const before = previous && (await get(`/stats?per=day&timezone=${zone}&from=${previous.from}&to=${previous.to}`, signal)).data;
  const points = now.series.map((point, at) => ({ label: day.format(time(point.at)), value: point.clicks, before: before?.series[at]?.clicks }));
  const figure = (/** @type {string} */ label, /** @type {string | number} */ value, /** @type {number} */ old) =>
    h("div", {}, h("dt", {}, label), h("dd", {}, count(value), old === undefined ? null : difference(Number(value), old)));
  show(panel, h("dl", { class: "figures" }, figure("People in 30 days", now.humans, before?.humans), figure("Bots", now.bots, before?.bots),
    h("div", {}, h("dt", {}, "Links"), h("dd", {}, h("a", { href: "/admin/" }, count(links))))),
  points.some(({ value, before: old }) => value > 0 || old) ? timeChart(points, { title: "Clicks of people on all links", unit: "clicks" }, signal) : h("p", { class: "muted" }, links === "0"
    ? "Paste an address anywhere on this page, and its short link is on your clipboard." : "No clicks of people in the last 60 days."));
  if (now.humans > 0) show(breakdowns, BREAKDOWNS.map(([list, key, title]) => barList(title, now[list].slice(0, BARS).map((row) => [row[key], row.clicks]), now.humans)));
}

/** The change since the period before. @param {number} now @param {number} before */
function difference(now, before) {
  if (before === 0) return now === 0 ? null : h("small", {}, "none before");
  const percent = Math.round((100 * (now - before)) / before);
  return h("small", { title: `${count(before)} in the 30 days before` }, `${percent >= 0 ? "+" : "−"}${count(Math.abs(percent))} %`);
}

/** The codes that were asked for and that no link has: each can be made. @param {Element} panel @param {AbortSignal} signal */
async function drawMisses(panel, signal) {
  const { data } = await get(`/stats/misses?limit=${SIZE}`, signal);
  const rows = data.map((/** @type {{ short_code: string, count: number, last_asked_at: string }} */ miss) =>
    h("li", {}, h("span", { class: "asked" }, h("span", { class: "mono" }, miss.short_code), mayWrite()
      ? h("button", { type: "button", class: "button small-button", "aria-label": `Make it: ${miss.short_code}`, onclick: () => openEditor(undefined, { short_code: miss.short_code }) }, "Make it") : null),
    h("span", { class: "muted", title: `Last asked for ${moment(miss.last_asked_at)}` }, plural(miss.count, "time", "times"))));
  show(panel, h("h2", {}, MISSES), rows.length === 0 ? h("p", { class: "muted" }, "Every code that was asked for has a link.") : h("ul", { class: "short-list" }, rows));
}

/** @param {Element} panel @param {LISTS[number]} list @param {AbortSignal} signal */
async function drawList(panel, { title, query, none, holds = () => true, value }, signal) {
  const data = (await get(`/urls?${query}&per_page=${SIZE}`, signal)).data.filter(holds);
  const rows = data.map((/** @type {Link} */ link) => {
    const [text, hint] = value(link);
    const { host, rest } = splitTarget(link.original_url);
    return h("li", {}, h("a", { href: `/admin/links/${link.id}`, title: link.original_url }, h("span", { class: "mono" }, link.short_code),
      h("span", { class: "what" }, link.title ?? `${host}${rest === "/" ? "" : rest}`)), h("span", { class: "muted", title: hint }, text));
  });
  show(panel, h("div", { class: "panel-head" }, h("h2", {}, title), data.length < SIZE ? null : h("a", { href: `/admin/?${query}`, "aria-label": `All links: ${title}` }, "All")),
    rows.length === 0 ? h("p", { class: "muted" }, none) : h("ul", { class: "short-list" }, rows));
}
