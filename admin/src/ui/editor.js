// The editor, a sheet at the side: makes a link or changes one. It must not lose what was typed, whatever the API answers.

import { ApiError, get } from "./api.js";
import { box, header, sheet } from "./dialog.js";
import { debounce, h, show } from "./dom.js";
import { copy } from "./clipboard.js";
import { editorFields, shownValue } from "./editor-fields.js";
import { changeLink, createLink } from "./link-actions.js";
import { rememberOwner } from "./owner.js";
import { access, mayWrite } from "./session.js";
import { toast } from "./toast.js";
import { tryPart } from "./try.js";

/** @typedef {import("./types.js").Link} Link */
/** @typedef {import("./editor-fields.js").Field} Field */

/** Opens the editor of a link, or of a new one with some of its fields. @param {Link} [link] @param {{ original_url?: string, short_code?: string }} [given] */
export function openEditor(link, given = {}) {
  if (!mayWrite()) return;
  let present = link;
  const { main, times, routing, advanced } = editorFields(link, given);
  const fields = [...main, ...times, ...routing, ...advanced];
  const owner = link || access().user_id !== null ? null : ownerField();
  const error = h("p", { class: "error", role: "alert" });
  const save = h("button", { type: "submit", class: "button primary" }, link ? "Save" : "Make the link");
  const attempt = tryPart(() => ({ ...values(), short_code: present?.short_code }), wins);
  const details = [fold("Rules and split", routing, attempt.element), fold("More", advanced, owner?.element)];
  const title = link ? `Edit ${link.short_code}` : "New link";
  const close = () => {
    dialog.close();
    if (isChanged()) toast("Closed without saving", { actions: [["Undo", open]] });
  };
  const form = h("form", { novalidate: true }, header(title, close),
    h("div", { class: "body" }, error, main.map(({ element }) => element), h("div", { class: "pair" }, times.map(({ element }) => element)), ...details),
    h("footer", {}, h("button", { type: "button", class: "button", onclick: close }, "Cancel"), save));
  const first = JSON.stringify(values());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  // What is tried is what is typed.
  form.addEventListener("input", (event) => attempt.element.contains(/** @type {Node} */ (event.target)) || attempt.changed());
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
  });
  /** @type {HTMLDialogElement} */
  let dialog;
  open();
  if (!link) watchCode(main.find(({ name }) => name === "short_code"));
  fields[0].input.focus();

  /** Opens the sheet, again after it was closed with what was typed. */
  function open() {
    dialog = sheet(title, form);
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      close();
    });
  }

  /** A part of the editor that is open if the link has one of its fields. @param {string} name @param {Field[]} parts @param {any} [more] */
  function fold(name, parts, more) {
    const element = h("details", { class: "advanced" }, h("summary", {}, name), h("div", {}, parts.map((field) => field.element), more));
    element.open = parts.some((field) => shownValue(field.name, link?.[field.name]) !== "–");
    return element;
  }

  /** Marks the rule or the variant that wins. @param {number | null} rule @param {number | null} variant */
  function wins(rule, variant) {
    for (const [list, number] of /** @type {[string, number | null][]} */ ([[".rules", rule], [".variants", variant]])) {
      form.querySelectorAll(`${list} > li`).forEach((/** @type {Element} */ item, /** @type {number} */ at) => item.classList.toggle("won", at + 1 === number));
    }
  }

  /** @returns {Record<string, any>} */
  function values() {
    return Object.fromEntries(fields.map((field) => [field.name, field.read()]));
  }

  function isChanged() {
    return JSON.stringify(values()) !== first;
  }

  /** The fields that differ from the link as it was read. */
  function changes() {
    return Object.fromEntries(Object.entries(values()).filter(([name, value]) =>
      JSON.stringify(value) !== JSON.stringify(present?.[name] ?? null)));
  }

  async function submit() {
    [error, ...fields].forEach((place) => ("setError" in place ? place.setError("") : show(place)));
    save.disabled = true;
    try {
      if (present) await change();
      else await create();
      dialog.close();
    } catch (failure) {
      if (failure instanceof ApiError && failure.status === 412) await showConflict();
      else showError(failure);
    }
    save.disabled = false;
  }

  async function create() {
    const given = Object.fromEntries(Object.entries(values()).filter(([, value]) => value !== null && value.length !== 0));
    const user = owner?.read();
    if (user) rememberOwner(user);
    const made = await createLink({ ...given, ...(user ? { user_id: user } : {}) });
    const isCopied = await copy(made.short_url);
    toast(`${isCopied ? "Copied" : "Made"} ${made.short_url}`, { replaces: "made", actions: [["Edit", () => openEditor(made)]] });
  }

  async function change() {
    const changed = changes();
    if (Object.keys(changed).length === 0) return;
    const old = /** @type {Link} */ (present);
    const saved = await changeLink(old, changed);
    const before = Object.fromEntries(Object.keys(changed).map((name) => [name, old[name]]));
    toast(`Saved ${saved.short_code}`, { actions: [["Undo", () => changeLink(saved, before).catch((failure) => toast(failure.message, { isError: true }))]] });
  }

  /** Shows an error at the field that the API names first. @param {Error} failure */
  function showError(failure) {
    const named = fields.find(({ name }) => failure.message.startsWith(name));
    const isTaken = failure instanceof ApiError && failure.status === 409;
    const field = named ?? (isTaken ? fields.find(({ name }) => name === (/external/i.test(failure.message) ? "external_id" : "short_code")) : undefined);
    const isCode = /^(a|this) short code/i.test(failure.message) ? fields.find(({ name }) => name === "short_code") : undefined;
    const at = field ?? isCode;
    if (!at) {
      show(error, failure.message);
      error.scrollIntoView({ block: "nearest" });
      return;
    }
    const folded = at.element.closest("details");
    if (folded) folded.open = true;
    if (!at.setError(failure.message)) at.input.focus();
  }

  /** Shows the user's version beside the one that another change made meanwhile. */
  async function showConflict() {
    const mine = changes();
    const { data: theirs } = await get(`/urls/${present?.id}`);
    const old = present;
    const rows = fields.filter(({ name }) => name in mine || JSON.stringify(theirs[name]) !== JSON.stringify(old?.[name]));
    const keep = async () => {
      choose.close();
      present = theirs;
      // Fields that the user did not change have the other version.
      const kept = fields.filter(({ name }) => !(name in mine));
      kept.forEach((field) => setValue(field, theirs));
      await submit();
    };
    const take = () => {
      choose.close();
      dialog.close();
      openEditor(theirs);
    };
    const choose = box("This link was changed meanwhile", h("p", {}, "Another change was saved after you opened the editor. Nothing of yours is lost."),
      h("table", { class: "versions" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"), h("th", { scope: "col" }, "Yours"), h("th", { scope: "col" }, "Theirs"))),
        h("tbody", {}, rows.map(({ name, label }) => h("tr", {}, h("th", { scope: "row" }, label),
          h("td", {}, name in mine ? shownValue(name, mine[name]) : h("span", { class: "muted" }, "unchanged")), h("td", {}, shownValue(name, theirs[name])))))),
      h("p", { class: "head" }), h("div", { class: "presets" },
        h("button", { type: "button", class: "button primary", onclick: keep }, "Save mine over it"),
        h("button", { type: "button", class: "button", onclick: take }, "Take theirs")));
  }
}

/** Gives a field the value of a link, which it has until the user changes it. @param {Field} field @param {Link} link */
function setValue(field, link) {
  if (field.write) return field.write(link[field.name]);
  const fresh = Object.values(editorFields(link, {})).flat().find(({ name }) => name === field.name);
  if (!fresh) return;
  const property = field.input.type === "checkbox" ? "checked" : "value";
  field.input[property] = fresh.input[property];
  const { read } = field;
  field.read = () => (field.input[property] === fresh.input[property] ? link[field.name] : read());
}

/** Says while the user types whether a code is free. @param {Field | undefined} field */
function watchCode(field) {
  if (!field) return;
  const state = /** @type {HTMLElement} */ (document.getElementById("code-state"));
  const usual = state.textContent;
  const check = debounce(async () => {
    const code = field.input.value.trim();
    if (!/^[0-9A-Za-z_-]{1,64}$/.test(code)) return;
    const { data } = await get(`/urls?short_code=${encodeURIComponent(code)}&per_page=1`);
    if (field.input.value.trim() !== code) return;
    if (data.length > 0) field.setError(`The short code ${code} is taken.`);
    else show(state, `${code} is free.`);
  }, 200);
  field.input.addEventListener("input", () => {
    const code = field.input.value.trim();
    show(state, usual);
    if (code && !/^[0-9A-Za-z_-]*$/.test(code)) field.setError("A short code has only letters, digits, - and _.");
    else if (code) check();
  });
}

/** The owner of a new link, for a token without a user. */
function ownerField() {
  const input = h("select", { id: "edit-user" }, h("option", { value: "" }, "The last one"));
  get("/users?per_page=100").then(({ data }) => input.append(...data.map((user) => h("option", { value: user.id }, user.username)))).catch(() => {});
  return { element: h("div", { class: "form-field" }, h("label", { for: "edit-user" }, "Owner"), input), read: () => Number(input.value) || undefined };
}
