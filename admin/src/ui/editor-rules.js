// The rules of a link in its editor: added, removed and moved. It must not decide which of them a request meets.

import { conditionRow, conditionText, firstCondition } from "./editor-conditions.js";
import { h, show } from "./dom.js";
import { clearError, showError } from "./editor-errors.js";
import { icon } from "./icons.js";

/** @typedef {import("./types.js").Rule} Rule */
/** @typedef {import("./editor-fields.js").Field} Field */

const MOST_RULES = 20;
const MOST_CONDITIONS = 10;

/** A rule as people read it. @param {Rule} rule */
export function ruleText({ if: conditions }) {
  return conditions.map(conditionText).join(", ");
}

/**
 * The field of the rules, in the order in which they are tried.
 * @param {Rule[]} value @returns {Field}
 */
export function rulesField(value) {
  /** @type {Rule[]} */
  let rules = structuredClone(value);
  const list = h("ol", { class: "rules" });
  const add = h("button", { type: "button", class: "button", onclick: addRule }, icon("plus"), "Add a rule");
  const error = h("p", { class: "error", role: "alert" });
  const note = h("p", { class: "note-line" }, "The first rule that a visitor meets decides. Without one, the split or the target does.");
  const element = h("div", { class: "form-field", role: "group", "aria-label": "Rules" }, h("span", { class: "legend" }, "Rules"), note, list, error, h("div", {}, add));
  // An error ends with the next change of what it is about.
  list.addEventListener("input", (/** @type {Event} */ event) => clearError(/** @type {HTMLElement} */ (event.target)));
  draw();
  return {
    name: "rules", label: "Rules", element, input: add, setError,
    read: () => rules,
    write: (/** @type {Rule[]} */ fresh) => {
      rules = structuredClone(fresh);
      draw();
    },
  };

  /** Draws all rules, and gives one of their elements the focus. @param {string} [focus] */
  function draw(focus) {
    show(list, rules.map(drawRule));
    add.disabled = rules.length >= MOST_RULES;
    if (focus !== undefined) /** @type {HTMLElement | null} */ (list.querySelector(focus) ?? add)?.focus();
  }

  /** Draws the rules after a change, which others hear of. @param {string} focus */
  function changed(focus) {
    draw(focus);
    show(error);
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function addRule() {
    rules.push({ target: "", if: [firstCondition()] });
    changed(`li:nth-child(${rules.length}) select`);
  }

  /** @param {Rule} rule @param {number} at */
  function drawRule(rule, at) {
    const name = `rule ${at + 1}`;
    const here = `li:nth-child(${at + 1})`;
    const move = (/** @type {number} */ by, /** @type {string} */ key) => {
      rules.splice(at + by, 0, ...rules.splice(at, 1));
      const isEnd = at + by === 0 || at + by === rules.length - 1;
      // At the end the button cannot go on, so the other one has the focus.
      const other = isEnd ? (key === "up" ? "down" : "up") : key;
      changed(`li:nth-child(${at + by + 1}) [data-move=${other}]`);
    };
    const button = (/** @type {string} */ key, /** @type {any} */ image, /** @type {string} */ label, /** @type {boolean} */ isOff, /** @type {() => void} */ act) =>
      h("button", { type: "button", class: "quiet", "data-move": key, "aria-label": label, title: label, disabled: isOff, onclick: act }, icon(image));
    const target = h("input", { type: "text", inputmode: "url", spellcheck: "false", autocomplete: "off", value: rule.target, placeholder: "https://example.com/page",
      "aria-label": `Target of ${name}`, "data-field": "target" });
    target.addEventListener("input", () => (rule.target = target.value.trim()));
    const conditions = rule.if.map((condition, place) => conditionRow(condition, place, name, {
      replace: (other) => {
        rule.if[place] = other;
        changed(`${here} .condition:nth-of-type(${place + 1}) .inputs > *`);
      },
      remove: rule.if.length === 1 ? null : () => {
        rule.if.splice(place, 1);
        changed(`${here} .condition:nth-of-type(${Math.min(place, rule.if.length - 1) + 1}) select`);
      },
    }));
    const more = h("button", {
      type: "button", class: "quiet more-conditions", disabled: rule.if.length >= MOST_CONDITIONS, "aria-label": `Add a condition to ${name}`,
      onclick: () => {
        rule.if.push(firstCondition());
        changed(`${here} .condition:nth-of-type(${rule.if.length}) select`);
      },
    }, icon("plus"), "Condition");
    return h("li", {},
      h("div", { class: "rule-head" }, h("b", {}, `Rule ${at + 1}`),
        button("up", "up", `Move ${name} up`, at === 0, () => move(-1, "up")), button("down", "down", `Move ${name} down`, at === rules.length - 1, () => move(1, "down")),
        button("remove", "trash", `Remove ${name}`, false, () => {
          rules.splice(at, 1);
          changed(`li:nth-child(${Math.min(at + 1, rules.length)}) select`);
        })),
      h("div", { class: "conditions" }, conditions), more,
      h("div", { class: "leads" }, h("span", { class: "word", "aria-hidden": "true" }, "go to"), target, h("p", { class: "error", role: "alert" })));
  }

  /** Shows an error at the input that it names, and gives it the focus. @param {string} text */
  function setError(text) {
    const [, rule, condition, name] = /^rules\[(\d+)\](?:\.if\[(\d+)\])?(?:\.(\w+))?/.exec(text) ?? [];
    const item = list.children[Number(rule)];
    const row = condition === undefined ? item?.querySelector(".leads") : item?.querySelectorAll(".condition")[Number(condition)];
    const input = row?.querySelector(`[data-field=${name ?? "target"}]`) ?? row?.querySelector("select, input");
    return showError(text, { list, below: error, row, input: /** @type {HTMLElement | null | undefined} */ (input) });
  }
}
