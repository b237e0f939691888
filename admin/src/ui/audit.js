// The audit: who changed which link and when, the newest first, with the way back. It must not draw links.

import { get } from "./api.js";
import { h, show } from "./dom.js";
import { shownValue } from "./editor-fields.js";
import { endless, skeleton } from "./endless.js";
import { ago, moment, plural } from "./format.js";
import { icon } from "./icons.js";
import { ACTIONS, FIELDS, makeAgain, putBack } from "./put-back.js";
import { setQuery } from "./router.js";
import { mayWrite } from "./session.js";
import { toastError } from "./toast.js";

/** @typedef {{ id: number, url_id: number, user_id: number, action: "created" | "updated" | "deleted", before: any, after: any, at: string, token: string | null }} Entry */

/** The page behind every list: it is empty, and its header leads to the newest entries. */
const BEHIND = "18446744073709551615";

const PAGE_SIZE = 50;

/** The filters of the API, with their names for people. */
const FILTERS = { token: "token", url_id: "link", user_id: "user" };

/** Fields that every change moves, or that no change can. */
const FIXED = ["id", "user_id", "short_code", "updated_at", "revision", "created_at"];

/** @type {Record<string, string>} */
const LABELS = { ...FIELDS, imported_clicks: "Clicks before the import" };

/** @type {import("./router.js").Screen} */
export async function auditScreen(main, place, signal) {
  const view = place.query;
  const filters = h("div", { class: "tools" });
  const body = h("ol", { class: "entries", "aria-label": "Changes" });
  const list = endless({ rel: "prev", signal, draw });
  show(main, h("div", { class: "head" }, h("h1", {}, "Audit")), filters, body, list.end);
  drawFilters();
  await load();

  async function load() {
    if (body.children.length === 0) show(list.end, skeleton());
    const query = new URLSearchParams(Object.keys(FILTERS).flatMap((name) => (view.get(name) ? [[name, view.get(name) ?? ""]] : [])));
    await list.read(`/audit?${query}&page=${BEHIND}&per_page=${PAGE_SIZE}`);
  }

  /** @param {Entry[]} entries @param {boolean} isFirst @param {Headers} headers */
  function draw(entries, isFirst, headers) {
    if (isFirst) show(body);
    body.append(...entries.map(drawEntry));
    const isEmpty = isFirst && !headers.has("link");
    if (isEmpty) show(body, h("li", { class: "empty" }, h("h2", {}, "No changes"), h("p", { class: "muted" },
      [...view.keys()].length > 0 ? "No change matches these filters." : "Each creation, change and deletion of a link will be here.")));
  }

  function drawFilters() {
    const token = h("input", { type: "search", id: "audit-token", placeholder: "Name of a token", "aria-label": "Only changes with the token of this name", value: view.get("token") ?? "" });
    token.addEventListener("change", () => set("token", token.value.trim()));
    show(filters, token, Object.entries(FILTERS).filter(([name]) => name !== "token" && view.get(name)).map(([name, label]) =>
      h("button", { type: "button", class: "chip on", "aria-label": `Remove the filter ${label} ${view.get(name)}`, onclick: () => set(name, "") }, `${label} ${view.get(name)}`, icon("close"))));
  }

  /** @param {string} name @param {string} value */
  function set(name, value) {
    if (value) view.set(name, value);
    else view.delete(name);
    setQuery(view);
    drawFilters();
    load().catch((error) => signal.aborted || error.status === 401 || toastError(error));
  }

  /** @param {Entry} entry */
  function drawEntry(entry) {
    const { action, before, after, token, at } = entry;
    const state = after ?? before;
    const filter = (/** @type {string} */ name, /** @type {string | number} */ value, /** @type {string} */ label) =>
      h("button", { type: "button", class: "chip", title: `Only changes: ${label}`, onclick: () => set(name, String(value)) }, label);
    const changed = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
      .filter((name) => !FIXED.includes(name) && JSON.stringify(before?.[name]) !== JSON.stringify(after?.[name]))
      .filter((name) => action === "updated" || (name !== "is_active" && state[name] !== 0 && shownValue(name, state[name]) !== "–"));
    const back = action !== "created" && mayWrite() ? h("button", { type: "button", class: "button small-button", "aria-label": `Put this back: ${state.short_code} as it was before`, onclick: () => undo(entry, back) }, "Put this back") : null;
    return h("li", {}, h("div", { class: "entry-head" },
      h("span", { class: `state ${{ created: "active", updated: "inactive", deleted: "expired" }[action]}` }, ACTIONS[action]),
      action === "deleted" ? h("span", { class: "mono" }, state.short_code) : h("a", { class: "mono", href: `/admin/links/${entry.url_id}` }, state.short_code),
      h("time", { class: "muted", title: moment(at), datetime: `${at}Z` }, ago(at)),
      filter("url_id", entry.url_id, `link ${entry.url_id}`), filter("user_id", entry.user_id, `user ${entry.user_id}`),
      token ? filter("token", token, `token ${token}`) : null, back),
    changed.length === 0 ? h("p", { class: "muted small" }, "Saved without a new value.") : compare(entry, changed));
  }

  /** @param {Entry} entry @param {any} button */
  async function undo(entry, button) {
    button.disabled = true;
    try {
      if (entry.action === "deleted") await makeAgain(entry.before);
      else await putBack((await get(`/urls/${entry.url_id}`, signal)).data, entry.before, load);
      await load();
    } catch (error) {
      toastError(error.status === 404 ? new Error("This link is deleted. Put its deletion back first.") : error);
    }
    button.disabled = false;
  }
}

/** @param {Entry} entry @param {string[]} names */
function compare({ action, before, after }, names) {
  const columns = [action === "created" ? null : ["Before", before], action === "deleted" ? null : ["After", after]].filter((column) => column !== null);
  return h("table", { class: "compare" }, h("caption", { class: "visually-hidden" }, plural(names.length, "field", "fields")),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"), columns.map(([label]) => h("th", { scope: "col" }, label)))),
    h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row" }, LABELS[name] ?? name), columns.map(([label, link]) => h("td", { "data-label": columns.length > 1 ? label : "" }, shownValue(name, link[name])))))));
}
