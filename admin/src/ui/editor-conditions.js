// The conditions of a rule: each type with the inputs that it needs. It must not decide which requests meet them.

import { h, show } from "./dom.js";
import { fromInput, moment, toInput } from "./format.js";
import { icon } from "./icons.js";

/** @typedef {import("./types.js").Condition} Condition */

const region = new Intl.DisplayNames(undefined, { type: "region" });
const language = new Intl.DisplayNames(undefined, { type: "language" });

/** The classes of devices, which a test compares with those of the API. */
export const DEVICES = { ios: "iPhone or iPad", android: "Android", mobile: "Any phone or tablet", desktop: "Any computer", windows: "Windows", macos: "macOS", linux: "Linux" };

/** The browsers, which a test compares with those of the API. */
export const BROWSERS = "Android Browser|Baidu|BlackBerry|Brave|Chrome|Coc Coc|DuckDuckGo|Edge|Electron|Epiphany|Facebook|Feature phone|Firefox|Google App|HeyTap Browser|Huawei Browser|Instagram|Internet Explorer|KakaoTalk|Konqueror|Line|LinkedIn|Links|Lynx|Maxthon|Mi Browser|Naver|Nokia|Opera|Pale Moon|Pinterest|Puffin|QQ|QQ Browser|Reddit|Safari|Samsung Internet|SeaMonkey|Silk|Snapchat|Sogou|Telegram|Thunderbird|TikTok|Twitter|UC Browser|Vivaldi|vivo Browser|w3m|Waterfox|WebView|WeChat|Whale|Yandex Browser".split("|");

export const TYPES = { device: "Device", browser: "Browser", language: "Language", country: "Country", referrer: "Referrer", query: "Parameter is", query_any: "Parameter is there", after: "From", before: "Until", bot: "Bot" };

const BOT = { true: "Bots and previews", false: "People" };

/** @param {string} code */
function countryName(code) {
  return /^[A-Z]{2}$/.test(code) && region.of(code) !== code ? region.of(code) : "";
}

/** @param {string} tag */
function languageName(tag) {
  try {
    return /^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$/.test(tag) && language.of(tag) !== tag ? language.of(tag) : "";
  } catch {
    return "";
  }
}

/** A condition as people read it. @param {Condition} condition */
export function conditionText({ type, key, value = "" }) {
  switch (type) {
    case "device": return DEVICES[value] ?? value;
    case "language": return languageName(value) || value;
    case "country": return countryName(value) || value;
    case "query": return `?${key}=${value}`;
    case "query_any": return `?${key}`;
    case "after": return `from ${moment(value)}`;
    case "before": return `until ${moment(value)}`;
    case "referrer": return `from ${value}`;
    case "bot": return BOT[value]?.toLowerCase() ?? value;
    default: return value;
  }
}

/** Returns a new condition of a type. @param {string} type @returns {Condition} */
function fresh(type) {
  const first = { device: "ios", browser: "Chrome", bot: "true" }[type];
  return { type, ...(type.startsWith("query") ? { key: "" } : {}), ...(type === "query_any" ? {} : { value: first ?? "" }) };
}

export const firstCondition = () => fresh("device");

/** @param {string} name @param {Record<string, string> | string[]} options @param {string} value */
function select(name, options, value) {
  const pairs = Array.isArray(options) ? options.map((text) => [text, text]) : Object.entries(options);
  return h("select", { "aria-label": name }, pairs.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
}

/**
 * Builds the inputs of a condition. They write what is typed into it.
 * @param {Condition} condition @param {string} name
 * @returns {{ inputs: any[], note: any }}
 */
function inputsOf(condition, name) {
  const { type } = condition;
  const note = h("span", { class: "note-line" });
  const follow = (/** @type {any} */ input, /** @type {"key" | "value"} */ field, read = () => input.value.trim()) => {
    input.dataset.field = field;
    input.addEventListener("input", () => (condition[field] = read()));
    return input;
  };
  const text = (/** @type {"key" | "value"} */ field, /** @type {string} */ label, /** @type {Record<string, any>} */ more) => {
    const input = h("input", { type: "text", spellcheck: "false", autocomplete: "off", "aria-label": `${label} of ${name}`, value: condition[field] ?? "", ...more });
    return follow(input, field, more.upper ? () => input.value.trim().toUpperCase() : undefined);
  };
  const named = (/** @type {any} */ input, /** @type {(text: string) => string | undefined} */ read) => {
    const draw = () => show(note, read(condition.value ?? "") ?? "");
    input.addEventListener("input", draw);
    draw();
    return input;
  };
  switch (type) {
    case "device": return { inputs: [follow(select(`Device of ${name}`, DEVICES, condition.value ?? ""), "value")], note };
    case "browser": return { inputs: [follow(select(`Browser of ${name}`, BROWSERS, condition.value ?? ""), "value")], note };
    case "bot": return { inputs: [follow(select(`Bots or people of ${name}`, BOT, String(condition.value)), "value")], note };
    case "language": return { inputs: [named(text("value", "Language", { placeholder: "de or en-US", maxlength: 35 }), languageName)], note };
    case "country": return { inputs: [named(text("value", "Country", { placeholder: "AT", maxlength: 2, upper: true, class: "upper" }), countryName)], note };
    case "referrer": return { inputs: [text("value", "Host", { placeholder: "example.com or *.example.com" })], note };
    case "query": return { inputs: [text("key", "Parameter", { placeholder: "name" }), h("span", { "aria-hidden": "true" }, "="), text("value", "Value", { placeholder: "value" })], note };
    case "query_any": return { inputs: [text("key", "Parameter", { placeholder: "name" })], note };
    default: {
      const input = h("input", { type: "datetime-local", "aria-label": `Time of ${name}`, value: toInput(condition.value ?? "") });
      return { inputs: [follow(input, "value", () => fromInput(input.value) ?? "")], note };
    }
  }
}

/**
 * Builds the row of a condition.
 * @param {Condition} condition @param {number} at @param {string} rule its name for people
 * @param {{ replace: (condition: Condition) => void, remove: (() => void) | null }} actions
 */
export function conditionRow(condition, at, rule, { replace, remove }) {
  const name = `condition ${at + 1} of ${rule}`;
  const type = select(`Type of ${name}`, TYPES, condition.type);
  type.dataset.field = "type";
  type.addEventListener("change", () => replace(fresh(type.value)));
  const { inputs, note } = inputsOf(condition, name);
  return h("div", { class: "condition" }, h("span", { class: "word", "aria-hidden": "true" }, at === 0 ? "If" : "and"), type, h("span", { class: "inputs" }, inputs, note),
    h("button", { type: "button", class: "quiet", "aria-label": `Remove ${name}`, disabled: remove === null, onclick: remove }, icon("close")), h("p", { class: "error", role: "alert" }));
}
