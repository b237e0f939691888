// The split of a link in its editor: the shares of its visitors that are led elsewhere. It must not draw visitors.

import { h, show } from "./dom.js";
import { clearError, showError } from "./editor-errors.js";
import { icon } from "./icons.js";

/** @typedef {import("./types.js").Variant} Variant */
/** @typedef {import("./editor-fields.js").Field} Field */

/** A split has two variants or more. */
const FEWEST = 2;
const MOST = 4;

/**
 * The field of the split.
 * @param {Variant[]} value @param {() => string} mainTarget what the target of the link is at present @returns {Field}
 */
export function splitField(value, mainTarget) {
  /** @type {Variant[]} */
  let variants = structuredClone(value);
  const list = h("ol", { class: "variants" });
  const rest = h("p", { class: "note-line", role: "status" });
  const error = h("p", { class: "error", role: "alert" });
  const add = h("button", { type: "button", class: "button", onclick: addVariant }, icon("plus"), h("span", {}, "Add a variant"));
  const none = h("button", { type: "button", class: "button", onclick: () => { variants = []; changed(); } }, "No split");
  const element = h("div", { class: "form-field", role: "group", "aria-label": "Split" }, h("span", { class: "legend" }, "Split"), list, rest, error, h("div", { class: "presets" }, add, none));
  list.addEventListener("input", (/** @type {Event} */ event) => {
    clearError(/** @type {HTMLElement} */ (event.target));
    drawRest();
  });
  draw();
  return {
    name: "split", label: "Split", element, input: add, setError,
    read: () => variants,
    write: (/** @type {Variant[]} */ fresh) => {
      variants = structuredClone(fresh);
      draw();
    },
  };

  function draw() {
    show(list, variants.map(drawVariant));
    add.disabled = variants.length >= MOST;
    show(add.querySelector("span"), variants.length === 0 ? "Split the visitors" : "Add a variant");
    none.hidden = variants.length === 0;
    drawRest();
  }

  function drawRest() {
    const part = 100 - variants.reduce((sum, { weight }) => sum + (weight || 0), 0);
    show(rest, variants.length === 0 ? "Shares of the visitors are led to other targets; each visitor comes to the same one again."
      : part < 0 ? `The shares are ${-part} % more than 100 %.` : part === 0 ? "No visitor is led to the target of the link." : `The rest, ${part} %, is led to the target of the link.`);
  }

  /** @param {string} [focus] */
  function changed(focus) {
    draw();
    show(error);
    /** @type {HTMLElement} */ (focus ? list.querySelector(focus) : add).focus();
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function addVariant() {
    if (variants.length === 0) variants = [{ target: mainTarget(), weight: 50 }, { target: "", weight: 50 }];
    else variants.push({ target: "", weight: Math.max(1, 100 - variants.reduce((sum, { weight }) => sum + (weight || 0), 0)) });
    changed("li:last-child input");
  }

  /** @param {Variant} variant @param {number} at */
  function drawVariant(variant, at) {
    const name = `variant ${at + 1}`;
    const target = h("input", { type: "text", inputmode: "url", spellcheck: "false", autocomplete: "off", value: variant.target, placeholder: "https://example.com/page", "aria-label": `Target of ${name}`, "data-field": "target" });
    target.addEventListener("input", () => (variant.target = target.value.trim()));
    const weight = h("input", { type: "number", min: 1, max: 99, value: variant.weight, "aria-label": `Share of ${name} in percent`, "data-field": "weight" });
    weight.addEventListener("input", () => (variant.weight = weight.value === "" ? 0 : Number(weight.value)));
    const remove = () => {
      variants.splice(at, 1);
      changed(`li:nth-child(${Math.min(at + 1, variants.length)}) input`);
    };
    return h("li", {}, target, weight, h("span", { class: "muted", "aria-hidden": "true" }, "%"),
      h("button", { type: "button", class: "quiet", "aria-label": `Remove ${name}`, disabled: variants.length <= FEWEST, onclick: remove }, icon("close")), h("p", { class: "error", role: "alert" }));
  }

  /** Shows an error at the input that it names, and gives it the focus. @param {string} text */
  function setError(text) {
    const [, variant, name] = /^split\[(\d+)\](?:\.(\w+))?/.exec(text) ?? [];
    const row = list.children[Number(variant)];
    const input = row?.querySelector(`[data-field=${name ?? "target"}]`);
    return showError(text, { list, below: error, row, input: /** @type {HTMLElement | null | undefined} */ (input) });
  }
}
