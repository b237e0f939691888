// Charts as SVG, each with its table behind it for people who do not see it. It must not know what the numbers count.

import { h, s, show } from "./dom.js";
import { count, shortCount } from "./format.js";

/** @typedef {{ label: string, value: number, before?: number }} Point */

const HEIGHT = 220;
const FOOT = 22;
const LEFT = 40;

/** The bars of a list that are shown before the user asks for more. */
const FIRST_BARS = 7;

/**
 * Draws columns over time, and the period before as a dashed line.
 * @param {Point[]} points @param {{ title: string, unit: string }} names @param {AbortSignal} signal
 */
export function timeChart(points, { title, unit }, signal) {
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const image = s("svg", { class: "chart", role: "img", "aria-label": title });
  const sum = points.reduce((total, point) => total + point.value, 0);
  const usual = () => show(readout, sum === 0 ? "No clicks in this time." : `Highest: ${count(Math.max(...points.map((point) => point.value)))} ${unit}`);
  const draw = () => {
    const width = image.clientWidth || 600;
    image.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const most = ceiling(Math.max(1, ...points.flatMap(({ value, before }) => [value, before ?? 0])));
    const step = (width - LEFT) / Math.max(points.length, 1);
    const y = (/** @type {number} */ value) => HEIGHT - FOOT - ((HEIGHT - FOOT - 8) * value) / most;
    const lines = [0, most / 2, most].filter(Number.isInteger).map((value) => [
      s("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }), s("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, shortCount(value))]);
    const bars = points.map(({ label, value, before }, at) => {
      const x = LEFT + at * step;
      const group = s("g", {}, s("rect", { class: "hit", x, y: 0, width: step, height: HEIGHT - FOOT }),
        s("rect", { class: "bar", x: x + step * 0.12, y: y(value), width: Math.max(step * 0.76, 1), height: HEIGHT - FOOT - y(value), rx: Math.min(2, step / 4) }));
      group.addEventListener("pointerenter", () => show(readout, `${label}: ${count(value)} ${unit}${before === undefined ? "" : `, ${count(before)} in the period before`}`));
      return group;
    });
    const every = Math.max(1, Math.ceil(points.length / Math.max(1, Math.floor((width - LEFT) / 84))));
    const labels = points.flatMap(({ label }, at) => (at % every ? [] : [s("text", { x: LEFT + (at + 0.5) * step, y: HEIGHT - 4, "text-anchor": "middle" }, label)]));
    const path = points.some(({ before }) => before) ? points.map(({ before }, at) => `${LEFT + (at + 0.5) * step} ${y(before ?? 0)}`).join("L") : "";
    show(image, lines.flat(), bars, path ? s("path", { class: "before", d: `M${path}` }) : null, labels);
  };
  image.addEventListener("pointerleave", usual);
  const size = new ResizeObserver(draw);
  size.observe(image);
  signal.addEventListener("abort", () => size.disconnect());
  usual();
  const hasBefore = points.some(({ before }) => before !== undefined);
  const table = h("details", { class: "table" }, h("summary", {}, "Show as a table"), h("div", { tabindex: "0", role: "region", "aria-label": title }, h("table", {},
    h("caption", { class: "visually-hidden" }, `${title}, ${count(sum)} ${unit} in all`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), h("th", { scope: "col", class: "number" }, unit), hasBefore ? h("th", { scope: "col", class: "number" }, "before") : null)),
    h("tbody", {}, points.map(({ label, value, before }) => h("tr", {}, h("th", { scope: "row" }, label), h("td", { class: "number" }, count(value)),
      hasBefore ? h("td", { class: "number" }, count(before ?? 0)) : null))))));
  return h("figure", {}, readout, image, table);
}

/** The next round number. @param {number} value */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((round) => round >= value) ?? value;
}

/**
 * Draws one bar for each name, as a table. The bars are no more than its background.
 * @param {string} title @param {[string, number][]} rows @param {number} total
 * @param {{ canChoose: (at: number) => boolean, isChosen: boolean, choose: (at: number) => void }} [choice] what a click on a bar does
 */
export function barList(title, rows, total, choice) {
  const most = Math.max(1, ...rows.map(([, value]) => value));
  const body = rows.map(([name, value], at) => {
    const fill = h("span", { class: "fill", "aria-hidden": "true" });
    fill.style.width = `${(100 * value) / most}%`;
    const label = choice?.canChoose(at) ? h("button", { type: "button", title: name, "aria-pressed": String(choice.isChosen), onclick: () => choice.choose(at) }, name) : h("span", { title: name }, name);
    return h("tr", { hidden: at >= FIRST_BARS }, h("th", { scope: "row" }, fill, label),
      h("td", { class: "number" }, h("span", {}, count(value), " ", h("small", {}, share(value, total)))));
  });
  const more = rows.length > FIRST_BARS ? h("button", {
    type: "button", class: "quiet",
    onclick: () => {
      body.forEach((row) => (row.hidden = false));
      more.remove();
    },
  }, `Show ${rows.length - FIRST_BARS} more`) : null;
  return h("section", { class: "panel" }, h("h2", {}, title), rows.length === 0 ? h("p", { class: "muted" }, "No clicks in this time.")
    : h("table", { class: "bars" }, h("caption", { class: "visually-hidden" }, title),
      h("thead", { class: "visually-hidden" }, h("tr", {}, h("th", { scope: "col" }, title), h("th", { scope: "col" }, "Clicks"))), h("tbody", {}, body)), more);
}

/** A part of a whole in percent. @param {number} value @param {number} total */
function share(value, total) {
  const percent = total > 0 ? (100 * value) / total : 0;
  return percent > 0 && percent < 1 ? "<1 %" : `${Math.round(percent)} %`;
}
