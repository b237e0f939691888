// The fields of the editor: how each is shown, read and marked as wrong. It must not send anything.

import { h, show } from "./dom.js";
import { ruleText, rulesField } from "./editor-rules.js";
import { splitField } from "./editor-split.js";
import { count, fromInput, moment, toInput } from "./format.js";

/** @typedef {import("./types.js").Link} Link */
/**
 * `setError` returns whether it gave an input the focus. A field of several inputs has `write`.
 * @typedef {{ name: string, label: string, element: HTMLElement, input: any, read: () => any, setError: (text: string) => boolean | void, write?: (value: any) => void }} Field
 */

const DAY = 86_400_000;

/**
 * Builds one field with its label, its note and its place for an error.
 * @param {string} name @param {string} label @param {any} input @param {() => any} read @param {{ note?: any, after?: any }} [more]
 * @returns {Field}
 */
function field(name, label, input, read, { note, after } = {}) {
  const id = `edit-${name}`;
  const error = h("p", { class: "error", id: `${id}-error`, role: "alert" });
  input.id = id;
  input.setAttribute("aria-describedby", `${id}-error${note ? ` ${id}-note` : ""}`);
  const isSwitch = input.type === "checkbox";
  const element = h("div", { class: "form-field" }, isSwitch ? h("label", { class: "check", for: id }, input, label) : [h("label", { for: id }, label), input], after,
    note ? h("p", { class: "note-line", id: `${id}-note` }, note) : null, error);
  const setError = (/** @type {string} */ text) => {
    show(error, text);
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => setError(""));
  return { name, label, element, input, read, setError };
}

/** @param {string} name @param {string} label @param {string | null} value @param {Record<string, any>} [properties] @param {{ note?: any, after?: any }} [more] */
function text(name, label, value, properties = {}, more = {}) {
  const input = h("input", { type: "text", spellcheck: "false", autocomplete: "off", value: value ?? "", ...properties });
  return field(name, label, input, () => input.value.trim() || null, more);
}

/** @param {string} name @param {string} label @param {string | null} value @param {boolean} hasPresets */
function when(name, label, value, hasPresets) {
  const input = h("input", { type: "datetime-local", value: toInput(value) });
  const set = (/** @type {number} */ days) => {
    input.value = days ? toInput(new Date(Date.now() + days * DAY).toISOString().slice(0, 19)) : "";
    input.dispatchEvent(new Event("input"));
  };
  const preset = (/** @type {string} */ label, /** @type {number} */ days) => h("button", { type: "button", class: "chip", onclick: () => set(days) }, label);
  const presets = hasPresets ? h("div", { class: "presets" }, preset("1 day", 1), preset("1 week", 7), preset("30 days", 30), preset("none", 0)) : null;
  // An unchanged value keeps its seconds.
  return field(name, label, input, () => (input.value === toInput(value) ? value : fromInput(input.value)), { after: presets });
}

/** @param {string} name @param {string} label @param {[string, string][]} options @param {string} value @param {(text: string) => any} read */
function choice(name, label, options, value, read) {
  const input = h("select", {}, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return field(name, label, input, () => read(input.value));
}

/**
 * The fields of a link, or of a new one.
 * @param {Link | undefined} link
 * @param {{ original_url?: string, short_code?: string }} given the fields of a new link
 * @returns {{ main: Field[], times: Field[], routing: Field[], advanced: Field[] }}
 */
export function editorFields(link, given) {
  const notes = h("textarea", { value: link?.notes ?? "", rows: 3 });
  const area = field("notes", "Notes", notes, () => notes.value || null, { note: "Only people with access to this page see them." });
  const main = [
    text("original_url", "Target", link?.original_url ?? given.original_url ?? "", { inputmode: "url", required: true, placeholder: "https://example.com/page" }, { note: "{1}, {path} and {query:name} are filled from the visitor's address." }),
    link ? null : text("short_code", "Short code", given.short_code ?? "", { maxlength: 64, placeholder: "made for you" }, { note: h("span", { id: "code-state" }, "Letters, digits, - and _. It cannot be changed later.") }),
    text("title", "Title", link?.title ?? "", { maxlength: 255, spellcheck: "true" }),
    tags(link?.tags ?? []),
    active(link?.is_active ?? true),
  ];
  const times = [when("starts_at", "Start", link?.starts_at ?? null, false), when("expires_at", "End", link?.expires_at ?? null, true), limit(link)];
  const routing = [rulesField(link?.rules ?? []), splitField(link?.split ?? [], () => main[0]?.input.value.trim())];
  const advanced = [
    text("expired_url", "Target after the end", link?.expired_url ?? "", { inputmode: "url", placeholder: "https://example.com/over" }),
    choice("redirect_status", "Status of the redirect", [["", "Default"], ["301", "301 Moved Permanently"], ["302", "302 Found"], ["307", "307 Temporary Redirect"], ["308", "308 Permanent Redirect"]],
      String(link?.redirect_status ?? ""), (value) => (value ? Number(value) : null)),
    choice("forward_query", "Query of the visitor", [["", "Default"], ["true", "Added to the target"], ["false", "Ignored"]],
      String(link?.forward_query ?? ""), (value) => (value ? value === "true" : null)),
    area,
    text("external_id", "Name in another program", link?.external_id ?? "", { maxlength: 255 }),
  ];
  return { main: /** @type {Field[]} */ (main.filter(Boolean)), times, routing, advanced };
}

/** @param {string[]} value */
function tags(value) {
  const input = h("input", { type: "text", autocomplete: "off", value: value.join(", "), placeholder: "summer, poster" });
  const read = () => input.value.split(",").map((/** @type {string} */ tag) => tag.trim()).filter(Boolean);
  return field("tags", "Tags", input, read, { note: "With commas between them." });
}

/** @param {Link | undefined} link */
function limit(link) {
  const value = link?.max_clicks ?? null;
  const input = h("input", { type: "number", min: 1, step: 1, value: value ?? "", placeholder: "no limit" });
  const preset = (/** @type {string} */ label, /** @type {string} */ number) => h("button", {
    type: "button", class: "chip",
    onclick: () => {
      input.value = number;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    },
  }, label);
  const presets = h("div", { class: "presets" }, preset("once", "1"), preset("100", "100"), preset("1,000", "1000"), preset("none", ""));
  return field("max_clicks", "Most clicks", input, () => (input.value === "" ? null : Number(input.value)), { after: presets, note: usedText(link) });
}

/** How far a limit is used up. @param {Link | undefined} link */
function usedText(link) {
  if (!link?.max_clicks) return "The link ends after so many redirects, bots included.";
  return `Used ${count(link.max_clicks - (link.clicks_left ?? 0))} of ${count(link.max_clicks)}. A greater number revives the link.`;
}

/** @param {boolean} value */
function active(value) {
  const input = h("input", { type: "checkbox", role: "switch", checked: value });
  return field("is_active", "Active", input, () => input.checked, { note: "A link that is off answers 410 Gone." });
}

/** A value of a field as people read it. @param {string} name @param {any} value */
export function shownValue(name, value) {
  if (value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) return "–";
  if (name.endsWith("_at")) return moment(value);
  if (name === "rules") return value.map((/** @type {import("./types.js").Rule} */ rule) => `${ruleText(rule)} → ${rule.target}`).join("; ");
  if (name === "split") return value.map((/** @type {import("./types.js").Variant} */ { target, weight }) => `${weight} % → ${target}`).join("; ");
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}
