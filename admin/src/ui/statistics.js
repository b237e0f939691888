// The statistics of a link: a range, its series with the period before, and what the clicks have in common.
// It must not know which breakdowns the API has: it shows each list of the answer that it can name.

import { get } from "./api.js";
import { barList, timeChart } from "./chart.js";
import { h, show } from "./dom.js";
import { count, time } from "./format.js";

/** @typedef {import("./types.js").Link} Link */

/** The ranges by name: their length in seconds, and the time of a point. @type {Record<string, { label: string, days: number, per: string }>} */
export const RANGES = {
  "24h": { label: "24 hours", days: 1, per: "hour" },
  "7d": { label: "7 days", days: 7, per: "day" },
  "30d": { label: "30 days", days: 30, per: "day" },
  "90d": { label: "90 days", days: 90, per: "day" },
};

/** The breakdowns of an answer: the list, the name in each of its rows, and a title. */
const BREAKDOWNS = [
  ["referrers", "referrer", "Referrers"], ["countries", "country", "Countries"], ["devices", "device", "Devices"], ["systems", "system", "Systems"],
  ["browsers", "browser", "Browsers"], ["languages", "language", "Languages"], ["targets", "target", "Targets"], ["sources", "source", "Sources"],
];

const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

/**
 * @param {HTMLElement} place @param {Link} link @param {string} name @param {(name: string) => void} setRange @param {AbortSignal} signal
 */
export async function drawStatistics(place, link, name, setRange, signal) {
  const { days, per } = RANGES[name];
  const buttons = h("div", { class: "segments", role: "group", "aria-label": "Range" }, Object.entries(RANGES).map(([key, { label }]) =>
    h("button", { type: "button", "aria-pressed": String(key === name), onclick: () => setRange(key) }, label)));
  if (place.children.length === 0) show(place, h("div", { class: "bar-tools" }, buttons), h("div", { class: "skeleton", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i")));
  else place.firstElementChild?.replaceChildren(buttons);
  const stamp = (/** @type {number} */ seconds) => new Date(seconds * 1000).toISOString().slice(0, 19);
  const length = days * 86400;
  const step = per === "hour" ? 3600 : 86400;
  const end = (Math.floor(Date.now() / 1000 / step) + 1) * step;
  const read = (/** @type {number} */ to) => get(`/urls/${link.id}/stats?per=${per}&from=${stamp(to - length)}&to=${stamp(to)}`, signal);
  const [{ data: now }, { data: before }] = await Promise.all([read(end), read(end - length)]);
  const format = per === "hour" ? hour : day;
  const points = now.series.map((point, at) => ({ label: format.format(time(point.at)), value: point.clicks, before: before.series[at]?.clicks }));
  const people = now.humans ?? null;
  const figure = (/** @type {string} */ label, /** @type {number} */ value, /** @type {any} */ more) => h("div", {}, h("dt", {}, label), h("dd", {}, count(value), more));
  show(place, h("div", { class: "bar-tools" }, buttons), h("section", { class: "panel", "aria-label": "Clicks" },
    h("dl", { class: "figures" }, figure("Clicks", now.total, difference(now.total, before.total)),
      people === null ? null : [figure("People", people, null), figure("Bots", now.bots, null)], figure("In all", link.clicks, null)),
    timeChart(points, { title: `Clicks of ${link.short_code}`, unit: "clicks" }, signal)),
  h("div", { class: "panels" }, BREAKDOWNS.filter(([list]) => Array.isArray(now[list])).map(([list, key, title]) =>
    barList(title, now[list].slice(0, 10).map((row) => [String(row[key] ?? row.name ?? "Unknown"), row.clicks]), now.total))));
}

/** The change since the period before, in words. @param {number} now @param {number} before */
function difference(now, before) {
  if (before === 0) return h("small", {}, "none in the period before");
  const percent = Math.round((100 * (now - before)) / before);
  return h("small", {}, `${percent >= 0 ? "+" : "−"}${Math.abs(percent)} % against ${count(before)} before`);
}
