// Sparklines of 30 days, fetched when their row is seen. It must not fetch many at once.

import { get } from "./api.js";
import { h, s, show } from "./dom.js";

const AT_ONCE = 3;

/** Series by link and number of clicks, so that a row that is drawn again fetches nothing. @type {Map<string, number[]>} */
const known = new Map();

/** @typedef {{ cell: Element, link: import("./types.js").Link }} Wanted */

/** Returns a function that makes the cell of a row. @param {AbortSignal} signal */
export function sparklines(signal) {
  /** @type {Wanted[]} */
  const queue = [];
  let running = 0;
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((entry) => entry.isIntersecting)) {
      observer.unobserve(entry.target);
      const wanted = cells.get(entry.target);
      if (wanted) queue.push(wanted);
    }
    next();
  }, { rootMargin: "100px" });
  /** @type {WeakMap<Element, Wanted>} */
  const cells = new WeakMap();
  signal.addEventListener("abort", () => observer.disconnect());

  async function next() {
    if (running >= AT_ONCE || signal.aborted) return;
    const wanted = queue.shift();
    if (!wanted) return;
    running++;
    next();
    try {
      const { data } = await get(`/urls/${wanted.link.id}/stats?per=day`, signal);
      const series = data.series.map((point) => point.clicks);
      known.set(key(wanted.link), series);
      draw(wanted.cell, series);
    } catch {
      // A row without a sparkline is still a row.
    }
    running--;
    next();
  }

  return (/** @type {import("./types.js").Link} */ link) => {
    const cell = h("div", { class: "sparkline" });
    const series = link.clicks === 0 ? [] : known.get(key(link));
    if (series) draw(cell, series);
    else {
      cells.set(cell, { cell, link });
      observer.observe(cell);
    }
    return cell;
  };
}

/** @param {import("./types.js").Link} link */
function key(link) {
  return `${link.id} ${link.clicks}`;
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
