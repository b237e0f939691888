// The view of the list of links: its filters and its order, which live in the address. It must not fetch.

import { debounce, h, show } from "./dom.js";
import { exportButton } from "./export.js";
import { asTarget } from "./format.js";
import { icon } from "./icons.js";

/** The parameters of the address that the list of the API knows. */
const KNOWN = ["search", "state", "tag", "tag_mode", "not_tag", "host", "sort", "user_id", "never_clicked", "created_from", "created_to"];

const SORTS = [["-id", "Newest"], ["id", "Oldest"], ["-clicks", "Most clicks"], ["-last_clicked_at", "Last clicked"], ["-updated_at", "Last changed"], ["title", "Title"], ["short_code", "Code"]];

/** The pause in typing after which a search is sent, in milliseconds. A search that is under way is given up for a newer one. */
const SEARCH_PAUSE = 40;

const STATES = [["", "All states"], ["active", "Active"], ["inactive", "Off"], ["scheduled", "Scheduled"], ["expired", "Expired"], ["exhausted", "Used up"]];

/** The parameters of a view that the API knows. @param {URLSearchParams} view */
function known(view) {
  return new URLSearchParams([...view].filter(([name, value]) => KNOWN.includes(name) && value !== ""));
}

/** The filters of a view. @param {URLSearchParams} view */
function filters(view) {
  const query = known(view);
  query.delete("sort");
  return query;
}

/** The request for the first page of a view. @param {URLSearchParams} view @param {number} size */
export function request(view, size) {
  const query = known(view);
  if (!query.has("sort")) query.set("sort", "-id");
  query.set("per_page", String(size));
  return `/urls?${query}`;
}

/** Returns whether the view leaves links out. @param {URLSearchParams} view */
export function isFiltered(view) {
  return [...view.keys()].some((name) => KNOWN.includes(name) && name !== "sort");
}

/**
 * The field on top, which searches, and makes a link of an address.
 * @param {{ view: URLSearchParams, mayWrite: boolean, draft: string, changed: () => void, make: (target: string) => void, write: (text: string) => void }} options
 */
export function composeField({ view, mayWrite, draft, changed, make, write }) {
  const hint = h("p", { class: "hint", role: "status", id: "compose-hint" });
  const field = h("input", {
    id: "compose", type: "text", inputmode: "url", spellcheck: "false", autocomplete: "off", "aria-describedby": "compose-hint",
    "aria-label": mayWrite ? "Search links, or paste an address to shorten it" : "Search links",
    placeholder: mayWrite ? "Search, or paste an address" : "Search links", value: draft || (view.get("search") ?? ""),
  });
  const button = h("button", { type: "submit", class: "button primary", "aria-label": "Shorten" }, icon("plus"), h("span", {}, "Shorten"));
  const search = debounce(() => {
    const text = asTarget(field.value) ? "" : field.value.trim();
    const term = [...text].length < 2 ? "" : text.slice(0, 100);
    if (term === (view.get("search") ?? "")) return;
    if (term) view.set("search", term);
    else view.delete("search");
    changed();
  }, SEARCH_PAUSE);
  const explain = () => {
    const text = field.value.trim();
    write(field.value);
    if (asTarget(text)) show(hint, mayWrite ? "Enter makes a short link of this address and copies it." : "The token may not make links.");
    else if ([...text].length === 1) show(hint, "Type one more character to search.");
    else show(hint);
  };
  field.addEventListener("input", () => {
    explain();
    search();
  });
  field.addEventListener("paste", (event) => {
    const target = asTarget(event.clipboardData?.getData("text/plain") ?? "");
    const isWhole = field.selectionStart === 0 && field.selectionEnd === field.value.length;
    if (!target || !isWhole || !mayWrite) return;
    event.preventDefault();
    field.value = target;
    explain();
    make(target);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      field.value = "";
      explain();
      search();
      field.blur();
    }
  });
  const form = h("form", { class: "compose", role: "search" },
    h("div", { class: "field" }, icon("search"), field, h("kbd", { "aria-hidden": "true" }, "/")), mayWrite ? button : null);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const target = asTarget(field.value);
    if (target && mayWrite) make(target);
    else if (!field.value.trim()) show(hint, "Paste or type an address that begins with https:// first.");
    else if (mayWrite) show(hint, "This is no address: one begins with https:// or http://.");
  });
  explain();
  return { element: h("div", {}, form, hint), field, hint, clear: () => { field.value = ""; explain(); } };
}

/** The filters and the order. @param {URLSearchParams} view @param {() => void} changed */
export function viewTools(view, changed) {
  const tools = h("div", { class: "tools" });
  const total = h("span", { class: "total", role: "status", "aria-live": "polite" });
  const set = (/** @type {string} */ name, /** @type {string} */ value) => {
    if (value) view.set(name, value);
    else view.delete(name);
    changed();
  };
  const choice = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string[][]} */ options, /** @type {string} */ fallback) => {
    const select = h("select", { "aria-label": label, onchange: () => set(name, select.value === fallback ? "" : select.value) },
      options.map(([value, text]) => h("option", { value, selected: (view.get(name) ?? fallback) === value }, text)));
    return select;
  };
  const without = (/** @type {string} */ name, /** @type {string} */ value, /** @type {string} */ label) => h("button", {
    type: "button", class: "chip on", "aria-label": `Remove the filter ${label}`,
    onclick: () => {
      const others = view.getAll(name).filter((other) => other !== value);
      view.delete(name);
      others.forEach((other) => view.append(name, other));
      changed();
    },
  }, label, icon("close"));
  const save = exportButton("/urls/export", () => filters(view), "links");
  const draw = () => show(tools,
    choice("state", "State", STATES, ""), choice("sort", "Order", SORTS, "-id"),
    view.getAll("tag").map((tag) => without("tag", tag, `tag: ${tag}`)),
    view.getAll("host").map((host) => without("host", host, `host: ${host}`)),
    view.getAll("user_id").map((user) => without("user_id", user, `user ${user}`)), total, save);
  draw();
  return { element: tools, total, draw };
}
