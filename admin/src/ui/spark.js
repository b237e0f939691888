// Sparklines of 30 days, one request for all rows that are drawn together. It must not know the list.

import { get } from "./api.js";
import { h, s, show } from "./dom.js";
import { timeZone } from "./format.js";

/** The links that one request may name. */
const MOST_AT_ONCE = 100;

/** Series by link and number of clicks, so that a row that is drawn again fetches nothing. @type {Map<string, number[]>} */
const known = new Map();

/** Returns a function that makes the cell of a row. @param {AbortSignal} signal */
export function sparklines(signal) {
  /** The cells that wait for their series. @type {Map<string, { id: number, cell: Element }>} */
  const waiting = new Map();

  async function read() {
    const wanted = [...waiting].slice(0, MOST_AT_ONCE);
    if (wanted.length === 0 || signal.aborted) return;
    wanted.forEach(([name]) => waiting.delete(name));
    if (waiting.size > 0) setTimeout(read);
    const ids = wanted.map(([, { id }]) => `url_id=${id}`).join("&");
    try {
      const { data } = await get(`/stats/series?${ids}&timezone=${encodeURIComponent(timeZone())}`, signal);
      const series = new Map(data.links.map((link) => [link.url_id, link.clicks]));
      for (const [name, { id, cell }] of wanted) {
        known.set(name, series.get(id) ?? []);
        draw(cell, known.get(name) ?? []);
      }
    } catch {
      // A row without a sparkline is still a row.
    }
  }

  return (/** @type {import("./types.js").Link} */ link) => {
    const cell = h("div", { class: "sparkline" });
    const name = `${link.id} ${link.clicks}`;
    const series = link.clicks === 0 ? [] : known.get(name);
    if (series) draw(cell, series);
    else {
      if (waiting.size === 0) setTimeout(read);
      waiting.set(name, { id: link.id, cell });
    }
    return cell;
  };
}

/** @param {Element} cell @param {number[]} series */
function draw(cell, series) {
  const total = series.reduce((sum, clicks) => sum + clicks, 0);
  if (total === 0) {
    show(cell, h("span", { class: "visually-hidden" }, "No clicks in 30 days"));
    return;
  }
  const most = Math.max(...series, 1);
  const step = 116 / Math.max(series.length - 1, 1);
  const points = series.map((clicks, at) => `${(at * step).toFixed(1)} ${(24 - (22 * clicks) / most).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  show(cell, s("svg", { class: "sparkline", viewBox: "0 0 116 26", role: "img", "aria-label": `${total} clicks in 30 days` },
    s("path", { class: "area", d: `${line}L116 25L0 25Z` }), s("path", { d: line })));
}
