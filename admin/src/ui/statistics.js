// The statistics of a link: a range, its series with the period before, and what the clicks have in common.
// It must not count anything: figure, series and breakdowns are of one answer, of people or of all clicks.

import { get } from "./api.js";
import { barList, timeChart } from "./chart.js";
import { debounce, h, show } from "./dom.js";
import { count, time, timeZone } from "./format.js";
import { icon } from "./icons.js";
import { addDays, date, pointName, rangeName, rangeOf, RANGES } from "./ranges.js";

/** @typedef {import("./types.js").Link} Link */

const region = new Intl.DisplayNames(undefined, { type: "region" });
const language = new Intl.DisplayNames(undefined, { type: "language" });

/** The breakdowns of an answer: the list, the name in each of its rows, a title, and how a name is shown. @type {[string, string, string, ((name: string) => string)?][]} */
const BREAKDOWNS = [
  ["referrers", "referrer", "Referrers"], ["countries", "country", "Countries", (name) => (/^[A-Z]{2}$/.test(name) ? (region.of(name) ?? name) : name)],
  ["devices", "device", "Devices", (name) => name[0].toUpperCase() + name.slice(1)], ["systems", "system", "Systems"], ["browsers", "browser", "Browsers"],
  ["languages", "language", "Languages", (name) => (/^[a-z]{2,3}(-[A-Za-z]{2,4})?$/.test(name) ? (language.of(name) ?? name) : name)],
  ["sources", "source", "Sources"], ["targets", "target", "Targets"],
];

/** The breakdowns that are counted apart from visitors, so that no other filter goes with them. */
const APART = ["referrer", "source", "target"];

/** The filters of the address: the name of a value, and the value. @param {URLSearchParams} query @returns {[string, string][]} */
function filtersOf(query) {
  return BREAKDOWNS.flatMap(([, key]) => (query.get(key) ? [/** @type {[string, string]} */ ([key, query.get(key) ?? ""])] : []));
}

/** A value as people read it. @param {string} key @param {string} value */
function shown(key, value) {
  const [, , , name = String] = BREAKDOWNS.find(([, other]) => other === key) ?? [];
  return (name ?? String)(value);
}

/**
 * Draws the statistics of the view in the address.
 * @param {HTMLElement} place @param {Link} link @param {{ query: () => URLSearchParams, setQuery: (query: URLSearchParams) => void, answered: (answer: any) => void }} view `answered` is called with each answer @param {AbortSignal} signal
 */
export async function drawStatistics(place, link, view, signal) {
  let reading = new AbortController();
  signal.addEventListener("abort", () => reading.abort());
  const tools = h("div", { class: "bar-tools" });
  const error = h("p", { class: "error", role: "alert" });
  const body = h("div", {}, h("div", { class: "skeleton", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i")));
  show(place, tools, error, body);
  drawTools();
  await draw();
  return { draw: () => draw() };

  /** @param {Record<string, string | null>} values */
  function set(values) {
    const query = view.query();
    for (const [name, value] of Object.entries(values)) {
      if (value === null) query.delete(name);
      else query.set(name, value);
    }
    view.setQuery(query);
  }

  function drawTools() {
    const query = view.query();
    const present = query.get("range") ?? "30d";
    const hasBots = query.get("bots") === "include";
    const choice = (/** @type {string} */ label, /** @type {[string, string][]} */ options, /** @type {string} */ chosen, /** @type {(key: string) => void} */ act) =>
      h("div", { class: "segments", role: "group", "aria-label": label }, options.map(([key, text]) =>
        h("button", { type: "button", "aria-pressed": String(key === chosen), "data-key": key, onclick: () => again(key, act) }, text)));
    const again = (/** @type {string} */ key, /** @type {(key: string) => void} */ act) => {
      act(key);
      drawTools();
      tools.querySelector(`[data-key="${key}"]`)?.focus();
      draw();
    };
    show(tools, choice("Range", Object.entries(RANGES), present, chooseRange), present === "custom" ? dates(query) : null,
      choice("Clicks that count", [["people", "People"], ["all", "People and bots"]], hasBots ? "all" : "people", (key) => set({ bots: key === "all" ? "include" : null })),
    filtersOf(query).map(([key, value]) => h("button", { type: "button", class: "chip on", "aria-label": `Remove the filter ${key} ${shown(key, value)}`, onclick: () => filterBy(key, null) }, `${key}: ${shown(key, value)}`, icon("close"))));
  }

  /** Filters by a value, or no longer. @param {string} key @param {string | null} value */
  function filterBy(key, value) {
    const others = value === null ? [] : filtersOf(view.query()).filter(([other]) => APART.includes(key) || APART.includes(other));
    set({ ...Object.fromEntries(others.map(([other]) => [other, null])), [key]: value });
    drawTools();
    const first = value === null ? "[aria-pressed]" : ".chip.on:last-child";
    /** @type {HTMLElement | null} */ (tools.querySelector(first))?.focus();
    draw();
  }

  /** @param {string} name */
  function chooseRange(name) {
    const today = date(new Date());
    if (name === "custom") set({ range: name, from: view.query().get("from") ?? addDays(today, -13), to: view.query().get("to") ?? today });
    else set({ range: name, from: null, to: null });
  }

  /** @param {URLSearchParams} query */
  function dates(query) {
    const later = debounce(draw, 300);
    const field = (/** @type {string} */ name, /** @type {string} */ label) => {
      const input = h("input", { type: "date", "aria-label": label, value: query.get(name) ?? "" });
      input.addEventListener("input", () => {
        set({ [name]: input.value });
        later();
      });
      return input;
    };
    return h("div", { class: "dates" }, field("from", "First day"), h("span", { "aria-hidden": "true" }, "–"), field("to", "Last day"));
  }

  async function draw() {
    reading.abort();
    reading = new AbortController();
    const present = reading.signal;
    const query = view.query();
    const range = rangeOf(query, time(link.created_at));
    show(error, range ? "" : "The last day is before the first one, or one of them is missing.");
    if (!range) return;
    try {
      const bots = query.get("bots") === "include" ? "&bots=include" : "";
      const filters = filtersOf(query).map(([key, value]) => `&${key}=${encodeURIComponent(value)}`).join("");
      const read = async (/** @type {string} */ from, /** @type {string | undefined} */ to) =>
        (await get(`/urls/${link.id}/stats?per=${range.per}&from=${from}${to ? `&to=${to}` : ""}&timezone=${encodeURIComponent(timeZone())}${bots}${filters}`, present)).data;
      const now = await read(range.from, range.to);
      const isWhole = query.get("range") === "all" || now.previous === null;
      const before = isWhole ? null : await read(now.previous.from, now.previous.to);
      if (present.aborted) return;
      drawAnswer(now, before, Boolean(bots));
      view.answered(now);
    } catch (failure) {
      if (present.aborted || failure.status === 401) return;
      show(error, failure.message);
      body.querySelector(".skeleton")?.remove();
    }
  }

  /** @param {any} now @param {any} before @param {boolean} hasBots */
  function drawAnswer(now, before, hasBots) {
    const unit = hasBots ? "clicks" : "clicks of people";
    const counted = (/** @type {any} */ data) => (hasBots ? data.total : data.humans);
    const points = now.series.map((point, at) => ({ label: pointName(point.at, now.per), value: point.clicks, before: before?.series[at]?.clicks }));
    const figure = (/** @type {string} */ label, /** @type {number} */ value, /** @type {any} */ more = null, isChosen = false) =>
      h("div", { class: isChosen ? "chosen" : null }, h("dt", {}, label), h("dd", {}, count(value), more));
    const change = before ? h("small", { class: "change" }, difference(counted(now), counted(before))) : null;
    show(body, h("section", { class: "panel", "aria-label": "Clicks" },
      h("dl", { class: "figures" },
        figure("People", now.humans, hasBots ? null : change, !hasBots), figure("Bots", now.bots),
        figure("People and bots", now.total, hasBots ? change : null, hasBots),
        before ? figure("Period before", counted(before), h("small", {}, rangeName(now.previous, now.per))) : null),
      timeChart(points, { title: `Clicks of ${link.short_code}`, unit }, present()),
      now.off_by_minutes > 0 ? h("p", { class: "small" }, `Clicks are counted by hours of UTC, so each point begins ${now.off_by_minutes} minutes late here.`) : null),
    h("div", { class: "panels" }, BREAKDOWNS.filter(([list]) => counted(now) > 0 && Array.isArray(now[list]) && (list !== "targets" || now[list].length > 0)).map((breakdown) => bars(breakdown, now, counted(now)))),
    filtersOf(view.query()).length > 0 ? h("p", { class: "muted small apart" }, now.referrers === null && now.sources === null && now.targets === null
      ? "Referrers, sources and targets are counted apart from visitors, so they are not known under this filter." : "Clicks of a referrer, a source or a target are not counted by visitor, so nothing else is known under this filter.") : null);
  }

  /** @param {BREAKDOWNS[number]} breakdown @param {any} now @param {number} total */
  function bars([list, key, title, name = String], now, total) {
    const rows = now[list].filter((/** @type {any} */ row) => row.clicks > 0);
    const isChosen = view.query().has(key);
    return barList(title, rows.map((/** @type {any} */ row) => [name(row[key]), row.clicks]), total, {
      // `Other` is what the list does not name.
      canChoose: (at) => rows[at][key] !== "Other", isChosen,
      // The address decides, since the bars of the filter before may still be shown.
      choose: (at) => filterBy(key, view.query().get(key) === String(rows[at][key]) ? null : rows[at][key]),
    });
  }

  /** The signal of the answer that is shown. */
  function present() {
    return reading.signal;
  }
}

/** The change since the period before, in words. @param {number} now @param {number} before */
function difference(now, before) {
  if (before === 0) return now === 0 ? "as before" : "new";
  const percent = Math.round((100 * (now - before)) / before);
  return percent === 0 ? "±0 %" : `${percent > 0 ? "+" : "−"}${count(Math.abs(percent))} %`;
}
