// The command palette on Ctrl+K: links, screens and actions by what is typed. It must not know how an action works.

import { get } from "./api.js";
import { debounce, h, show } from "./dom.js";
import { asTarget, splitTarget } from "./format.js";
import { icon } from "./icons.js";
import { addKeys } from "./keys.js";
import { copyLink } from "./link-actions.js";
import { go } from "./router.js";

/** @typedef {{ group: string, label: string, note?: string, image: any, run: () => void, link?: import("./types.js").Link }} Command */

const LINKS = 8;

/** The name of the key that opens the palette. */
export const KEY = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘K" : "Ctrl+K";

/** @type {HTMLDialogElement | null} */
let palette = null;

/** Starts to listen for the keys. @param {(text: string) => Command[]} commands those that do not depend on links */
export function startPalette(commands) {
  addKeys([{ key: KEY, label: "Find links, screens and actions", run: () => {} }]);
  document.addEventListener("keydown", (event) => {
    const isKey = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
    if (!isKey || (!palette && document.querySelector("dialog[open], #login"))) return;
    event.preventDefault();
    if (palette) palette.close();
    else openPalette(commands);
  });
}

/** @param {(text: string) => Command[]} commands */
export function openPalette(commands) {
  const field = h("input", {
    type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list", "aria-label": "Find links, screens and actions",
    placeholder: "Find links, screens and actions", autocomplete: "off", spellcheck: "false",
  });
  const list = h("div", { id: "palette-list", role: "listbox", "aria-label": "Found" });
  const status = h("p", { class: "visually-hidden", role: "status" });
  const dialog = h("dialog", { class: "palette", "aria-label": "Command palette" }, h("div", { class: "palette-field" }, icon("search"), field), list, status,
    h("footer", { class: "small" }, h("span", {}, h("kbd", {}, "↑"), " ", h("kbd", {}, "↓"), " move"), h("span", {}, h("kbd", {}, "↵"), " opens"),
      h("span", {}, h("kbd", {}, "Shift"), " ", h("kbd", {}, "↵"), " copies a link")));
  /** @type {Command[]} */
  let links = [];
  /** @type {Command[]} */
  let found = [];
  let at = 0;
  let searching = new AbortController();
  const search = debounce(findLinks, 60);

  field.addEventListener("input", () => {
    searching.abort();
    at = 0;
    if (term().length < 2) links = [];
    draw();
    search();
  });
  dialog.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 5, PageUp: -5 };
    if (event.isComposing) return;
    if (event.key in steps) move(Math.abs(steps[event.key]) === 1 ? (at + steps[event.key] + found.length) % found.length : at + steps[event.key]);
    else if (event.key === "Enter") act(found[at], event.shiftKey);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    searching.abort();
    palette = null;
    dialog.remove();
  });
  palette = dialog;
  document.body.append(dialog);
  dialog.showModal();
  draw();
  field.focus();

  function term() {
    return field.value.trim();
  }

  async function findLinks() {
    searching = new AbortController();
    const { signal } = searching;
    const text = term().slice(0, 100);
    if (!dialog.open || [...text].length < 2 || asTarget(text)) return;
    try {
      const { data } = await get(`/urls?search=${encodeURIComponent(text)}&sort=-id&per_page=${LINKS}`, signal);
      if (signal.aborted) return;
      links = data.map((/** @type {import("./types.js").Link} */ link) => {
        const { host, rest } = splitTarget(link.original_url);
        return { group: "Links", label: link.title ? `${link.short_code} · ${link.title}` : link.short_code, note: `${host}${rest}`, image: "list", link, run: () => go(`/admin/links/${link.id}`) };
      });
      draw();
    } catch (error) {
      if (!signal.aborted) show(status, error.message);
    }
  }

  function draw() {
    const words = term().toLowerCase();
    const others = commands(term()).filter(({ label, group }) => group === "Make" || label.toLowerCase().includes(words));
    found = words ? [...others.filter(({ group }) => group === "Make"), ...links, ...others.filter(({ group }) => group !== "Make")] : others;
    at = Math.min(at, Math.max(0, found.length - 1));
    const groups = [...new Set(found.map(({ group }) => group))].map((group) =>
      h("div", { role: "group", "aria-label": group }, h("p", { class: "legend", "aria-hidden": "true" }, group), found.map((command, index) => command.group === group ? option(command, index) : null)));
    show(list, found.length > 0 ? groups : h("div", { role: "option", "aria-disabled": "true", "aria-selected": "false", class: "muted" }, "Nothing has this text."));
    show(status, `${found.length} found`);
    move(at);
  }

  /** @param {Command} command @param {number} index */
  function option(command, index) {
    const element = h("div", { id: `palette-${index}`, role: "option", "aria-selected": "false" }, icon(command.image), h("span", { class: "what" }, command.label),
      command.note ? h("span", { class: "note muted small" }, command.note) : null);
    element.addEventListener("click", (event) => act(command, event.shiftKey));
    element.addEventListener("pointermove", () => at !== index && move(index));
    return element;
  }

  /** @param {number} index */
  function move(index) {
    at = Math.max(0, Math.min(index, found.length - 1));
    list.querySelectorAll("[role=option]").forEach((element) => element.setAttribute("aria-selected", String(element.id === `palette-${at}`)));
    const present = list.querySelector(`#palette-${at}`);
    present?.scrollIntoView({ block: "nearest" });
    if (present) field.setAttribute("aria-activedescendant", present.id);
    else field.removeAttribute("aria-activedescendant");
  }

  /** @param {Command | undefined} command @param {boolean} copies */
  function act(command, copies) {
    if (!command) return;
    dialog.close();
    if (copies && command.link) copyLink(command.link);
    else command.run();
  }
}
