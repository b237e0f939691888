// "Try it": asks the API which rule or variant of the editor's link a visitor gets. It must not match rules itself.

import { change } from "./api.js";
import { BROWSERS, DEVICES } from "./editor-conditions.js";
import { debounce, h, show } from "./dom.js";
import { fromInput } from "./format.js";
import { icon } from "./icons.js";

/**
 * Builds the part of the editor that tries the link.
 * @param {() => Record<string, any>} link the fields as they are typed
 * @param {(rule: number | null, variant: number | null) => void} wins is called with the rule or the variant that wins
 */
export function tryPart(link, wins) {
  const text = (/** @type {string} */ name, /** @type {string} */ placeholder) => h("input", { type: "text", name, placeholder, autocomplete: "off", spellcheck: "false" });
  const choice = (/** @type {string} */ name, /** @type {[string, string][]} */ options) => h("select", { name }, options.map(([value, label]) => h("option", { value }, label)));
  /** @type {[string, any][]} */
  const facts = [
    ["Device", choice("device", [["", "Any other"], ...Object.entries(DEVICES)])],
    ["Browser", choice("browser", [["", "Any other"], ...BROWSERS.map((name) => /** @type {[string, string]} */ ([name, name]))])],
    ["Language", text("language", "de, en;q=0.8")], ["Country", text("country", "AT")],
    ["Referrer", text("referrer", "https://news.example/today")], ["Query", text("query", "utm_source=mail")],
    ["Path after the code", text("path", "ABC-1")], ["Time", h("input", { type: "datetime-local", name: "at" })],
  ];
  const bot = h("input", { type: "checkbox", name: "bot" });
  const result = h("p", { class: "result", role: "status" });
  // Each number is another visitor, whose share of a split is another one.
  let visitor = 1;
  const another = h("button", { type: "button", class: "button", onclick: () => { visitor = 1 + (visitor % 250); run(); } }, icon("user"), "Another visitor");
  const element = h("details", { class: "advanced try" }, h("summary", {}, "Try it"), h("div", {},
    h("div", { class: "facts-of-visit" }, facts.map(([label, input]) => h("label", { class: "option" }, h("span", {}, label), input))),
    h("div", { class: "presets" }, h("label", { class: "check" }, bot, "A bot or a preview"), another), result));
  const later = debounce(run, 180);
  element.addEventListener("input", later);
  element.addEventListener("toggle", () => (element.open ? run() : wins(null, null)));
  let attempt = 0;
  return { element, changed: () => element.open && later() };

  async function run() {
    const mine = ++attempt;
    const visit = Object.fromEntries(facts.flatMap(([, input]) => (input.value.trim() ? [[input.name, input.value.trim()]] : [])));
    if (visit.at) visit.at = fromInput(visit.at);
    const { short_code, original_url, rules, split, forward_query } = link();
    try {
      const { data } = await change("POST", "/urls/try", { short_code, original_url, rules, split, forward_query, visit: { ...visit, bot: bot.checked, client: `203.0.${visitor}.1` } });
      if (mine !== attempt) return;
      const by = data.rule ? `Rule ${data.rule} wins.` : data.variant ? `Variant ${data.variant} of the split.` : "The target of the link.";
      show(result, h("b", {}, by), " ", data.location ? h("span", { class: "mono" }, data.location) : "404: the path or the query does not fit the placeholders of the target.");
      wins(data.rule, data.variant);
    } catch (error) {
      if (mine !== attempt) return;
      wins(null, null);
      show(result, h("span", { class: "error" }, error.message));
    }
  }
}
