// A box with a few fields, which stays open with what was typed until its action succeeds. It must not know what it asks for.

import { box } from "./dialog.js";
import { h, show } from "./dom.js";

/** @typedef {{ name: string, label: string, type?: string, value?: string, note?: string, isOptional?: boolean, options?: string[][] }} Question a choice, if it has options */

/**
 * Asks for values. `run` throws to keep the box open with an error, and returns a text to ask once more with it.
 * @param {string} title @param {Question[]} questions @param {string} action
 * @param {(values: Record<string, string>, isRepeated: boolean) => Promise<string | void>} run
 */
export function ask(title, questions, action, run) {
  const error = h("p", { class: "error", role: "alert" });
  const fields = questions.map(({ name, label, type = "text", value = "", note, isOptional = false, options }) => {
    const input = options ? h("select", { id: `ask-${name}`, name }, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)))
      : h("input", { id: `ask-${name}`, name, type, value, required: !isOptional, autocomplete: "off", spellcheck: "false" });
    input.addEventListener("input", () => (repeated = ""));
    return { name, input, element: h("div", { class: "form-field" }, h("label", { for: `ask-${name}` }, label), input, note ? h("span", { class: "note-line" }, note) : null) };
  });
  const submit = h("button", { class: "button primary", type: "submit" }, action);
  let repeated = "";
  const form = h("form", { class: "ask", novalidate: true }, fields.map(({ element }) => element), error, h("p", {}, submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(fields.map(({ name, input }) => [name, input.value.trim()]));
    const text = JSON.stringify(values);
    submit.disabled = true;
    show(error);
    try {
      const question = await run(values, repeated === text);
      if (!question) return dialog.close();
      repeated = text;
      show(error, question);
    } catch (failure) {
      show(error, failure.message);
    } finally {
      submit.disabled = false;
    }
  });
  const dialog = box(title, form);
  if (fields[0].input instanceof HTMLInputElement) fields[0].input.select();
  fields[0].input.focus();
}
