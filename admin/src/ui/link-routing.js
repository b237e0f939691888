// Where the visitors of a link are led: its rules and its split, with the clicks of each target. It must not match rules.

import { conditionText } from "./editor-conditions.js";
import { h, show } from "./dom.js";
import { count } from "./format.js";
import { targetText } from "./link-row.js";

/** @typedef {import("./types.js").Link} Link */

/**
 * Draws the rules and the split, or nothing if the link has neither.
 * @param {HTMLElement} place @param {Link} link @param {{ target: string, clicks: number }[] | null} targets the clicks in the chosen time; null if they are not known
 */
export function drawRouting(place, link, targets) {
  const { rules, split } = link;
  place.hidden = rules.length === 0 && split.length === 0;
  if (place.hidden) return;
  const rest = 100 - split.reduce((sum, { weight }) => sum + weight, 0);
  const clicks = (/** @type {string} */ target) => targets?.find((row) => row.target === target)?.clicks ?? 0;
  const row = (/** @type {any} */ who, /** @type {string} */ target) => h("li", {}, h("span", { class: "who" }, who),
    h("a", { class: "target", href: target, rel: "noopener noreferrer", target: "_blank", title: target }, targetText(target)),
    targets ? h("span", { class: "number" }, count(clicks(target)), h("span", { class: "visually-hidden" }, " clicks")) : null);
  const others = split.length > 0 ? `${rest} %` : "Everyone else";
  show(place, h("div", { class: "panel-head" }, h("h2", {}, "Where visitors go"), targets ? h("span", { class: "muted small" }, "Clicks") : null),
    h("ol", { class: "routes" }, rules.map((rule) => row(rule.if.map((condition) => h("span", { class: "chip" }, conditionText(condition))), rule.target)),
      split.map(({ target, weight }) => row(h("span", { class: "chip" }, `${weight} %`), target)),
      rest > 0 ? row(h("span", { class: "chip" }, others), link.original_url) : null));
}
