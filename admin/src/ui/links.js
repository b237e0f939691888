// The home screen: the list of links. It must not draw rows or send changes itself.

import { get, nextPage } from "./api.js";
import { drawBulk } from "./bulk.js";
import { h, show } from "./dom.js";
import { openEditor } from "./editor.js";
import { asTarget, count } from "./format.js";
import { icon } from "./icons.js";
import { addKeys } from "./keys.js";
import { copyLink, deleteLinks, isLeaving, news, shorten, switchLinks } from "./link-actions.js";
import { linkPages } from "./link-pages.js";
import { linkRow } from "./link-row.js";
import { composeField, isFiltered, request, viewTools } from "./links-view.js";
import { openQr } from "./qr.js";
import { go, setQuery } from "./router.js";
import { mayWrite } from "./session.js";
import { sparklines } from "./spark.js";

/** @typedef {import("./types.js").Link} Link */

const PAGE_SIZE = 50;

/** The distance below the view at which the next page is read, in pixels. */
const NEAR = 600;

/** What was typed into the field on top, for the time between two visits. */
let draft = "";

/** @type {import("./router.js").Screen} */
export async function linksScreen(main, place, signal) {
  const view = place.query;
  /** @type {Map<number, Link>} */
  const picked = new Map();
  /** @type {string | null} */
  let next = null;
  /** The ids of links that are being deleted. @type {Set<number>} */
  const away = new Set();
  let lastPicked = 0;
  let total = "0";
  let loading = new AbortController();
  const writes = mayWrite();

  const compose = composeField({ view, mayWrite: writes, draft, changed, make, write: (text) => (draft = text) });
  const tools = viewTools(view, changed);
  const all = h("input", { type: "checkbox", "aria-label": "Select all links that are shown", onclick: () => pickAll(all.checked) });
  const table = h("table", { class: "links" }, h("caption", { class: "visually-hidden" }, "Links"), h("thead", {}, h("tr", {},
    h("th", { class: "pick", scope: "col" }, h("label", {}, all)), h("th", { scope: "col" }, "Link"), h("th", { class: "tags", scope: "col" }, "Tags"),
    h("th", { class: "spark", scope: "col" }, "30 days"), h("th", { class: "clicks number", scope: "col" }, "Clicks"),
    h("th", { class: "menu", scope: "col" }, h("span", { class: "visually-hidden" }, "Actions")))));
  const more = h("div", { class: "more" });
  const empty = h("div", { class: "empty", hidden: true });
  const bulk = h("div", { class: "bulk", role: "region", "aria-label": "Selected links", hidden: true });
  const waiting = h("div", { class: "skeleton", "aria-hidden": "true" }, [1, 2, 3, 4, 5, 6].map(() => h("i")));
  show(main, h("h1", { class: "visually-hidden" }, "Links"), compose.element, tools.element, table, waiting, empty, more, bulk);

  const actions = {
    copy: copyLink, edit: openEditor, mayWrite: writes, spark: sparklines(signal), menu: items,
    pick: (/** @type {Link} */ link, /** @type {boolean} */ isPicked, /** @type {MouseEvent} */ event) => pick(link, isPicked, event.shiftKey),
    filterTag: (/** @type {string} */ tag) => {
      if (!view.getAll("tag").includes(tag)) view.append("tag", tag);
      changed();
    },
  };
  const pages = linkPages(table, draw, signal);
  const shown = pages.entries;
  // An observer of intersections misses an end that stays in sight while pages enter and leave the document.
  addEventListener("scroll", loadNearEnd, { passive: true, signal });
  addEventListener("resize", loadNearEnd, { passive: true, signal });
  signal.addEventListener("abort", () => loading.abort());
  listen("created", (/** @type {Link} */ link) => {
    if (isFiltered(view) || view.has("sort")) return;
    empty.hidden = true;
    table.hidden = false;
    tools.element.hidden = false;
    pages.prepend(link);
    addToTotal(1);
  });
  listen("changed", (/** @type {Link} */ link) => {
    pages.replace(link);
    if (picked.has(link.id)) picked.set(link.id, link);
  });
  listen("stale", (/** @type {number[]} */ ids) => readAgain(ids).catch(() => {}));
  listen("hidden", (/** @type {number[]} */ ids) => hide(ids, true));
  listen("shown", (/** @type {number[]} */ ids) => hide(ids, false));
  addKeys(keys(), signal);
  await load();

  /** @param {string} name @param {(detail: any) => void} run */
  function listen(name, run) {
    news.addEventListener(name, (event) => run(/** @type {CustomEvent} */ (event).detail), { signal });
  }

  function changed() {
    setQuery(view);
    tools.draw();
    load().catch(() => {});
  }

  async function load() {
    loading.abort();
    loading = new AbortController();
    next = null;
    waiting.hidden = shown.size > 0;
    try {
      const path = request(view, PAGE_SIZE);
      const { data, headers } = await get(path, loading.signal);
      pages.clear();
      add(path, data, headers);
      total = headers.get("x-total-count") ?? "0";
      drawTotal();
      if (data.length === 0) drawEmpty();
      empty.hidden = data.length > 0;
      table.hidden = data.length === 0;
      // There is nothing to choose from.
      tools.element.hidden = data.length === 0 && !isFiltered(view);
    } catch (error) {
      if (loading.signal.aborted || signal.aborted || error.status === 401) return;
      waiting.hidden = true;
      show(compose.hint, error.message);
    }
  }

  async function loadNext() {
    if (!next) return;
    const [path, stop] = [next, loading.signal];
    next = null;
    try {
      const { data, headers } = await get(path, stop);
      stop.throwIfAborted();
      add(path, data, headers);
    } catch (error) {
      if (stop.aborted || signal.aborted || error.status === 401) return;
      next = path;
      show(more, h("span", {}, error.message), " ", h("button", { type: "button", class: "button", onclick: loadNext }, "Try again"));
    }
  }

  function loadNearEnd() {
    if (more.getBoundingClientRect().top < innerHeight + NEAR) loadNext();
  }

  /** Reads the pages of links that were changed together. If one left its page, the list begins again. @param {number[]} ids */
  async function readAgain(ids) {
    const gone = new Set(ids);
    for (const path of pages.paths(ids) ?? []) {
      for (const link of (await get(path, loading.signal)).data) {
        pages.replace(link);
        gone.delete(link.id);
      }
    }
    if (gone.size > 0) await load();
    picked.forEach((old, id) => picked.set(id, shown.get(id)?.link ?? old));
  }

  /** @param {string} path @param {Link[]} links @param {Headers} headers */
  function add(path, links, headers) {
    waiting.hidden = true;
    next = nextPage(headers);
    pages.append(path, links);
    show(more, next ? "Loading more" : "");
    requestAnimationFrame(loadNearEnd);
  }

  function drawTotal() {
    show(tools.total, `${count(total)} ${total === "1" ? "link" : "links"}`);
  }

  /** @param {number} by */
  function addToTotal(by) {
    if (!total.endsWith("+")) total = String(Number(total) + by);
    drawTotal();
  }

  /** @param {Link} link */
  function draw(link) {
    const row = linkRow(link, picked.has(link.id), actions);
    row.hidden = isLeaving(link.id) || away.has(link.id);
    return row;
  }

  function drawEmpty() {
    if (isFiltered(view)) {
      show(empty, h("h2", {}, "No link matches"), h("p", { class: "muted" }, "No link has all of these filters."),
        h("button", { type: "button", class: "button", onclick: () => { compose.clear(); go("/admin/?"); } }, "Show all links"));
    } else {
      show(empty, h("h2", {}, "No links yet"), h("p", { class: "muted" }, "Paste an address anywhere on this page, and its short link is on your clipboard."),
        writes ? h("button", { type: "button", class: "button primary", onclick: () => openEditor() }, icon("plus"), "New link") : null,
        writes ? h("a", { class: "button", href: "/admin/import" }, icon("download"), "Import links") : null,
        h("a", { class: "button", href: "/docs" }, "Use the API"));
    }
  }

  /** @param {string} target */
  async function make(target) {
    try {
      await shorten(target, openEditor);
      // What was typed meanwhile stays.
      if (asTarget(compose.field.value) === target) compose.clear();
      if (view.has("search")) {
        view.delete("search");
        changed();
      }
    } catch (error) {
      show(compose.hint, h("span", { class: "error" }, error.message));
    }
  }

  /** @param {number[]} ids @param {boolean} isHidden */
  function hide(ids, isHidden) {
    for (const id of ids) {
      const entry = shown.get(id);
      if (!entry) continue;
      if (isHidden && entry.row?.contains(document.activeElement)) step(1) || step(-1);
      if (isHidden !== away.has(id)) addToTotal(isHidden ? -1 : 1);
      if (isHidden) away.add(id);
      else away.delete(id);
      if (entry.row) entry.row.hidden = isHidden;
      if (isHidden) picked.delete(id);
    }
    drawPicked();
  }

  /** @param {Link} link @param {boolean} isPicked @param {boolean} isRange */
  function pick(link, isPicked, isRange) {
    const ids = pages.ids().filter((id) => !away.has(id));
    const [from, to] = [ids.indexOf(lastPicked), ids.indexOf(link.id)].sort((a, b) => a - b);
    const range = isRange && from >= 0 ? ids.slice(from, to + 1) : [link.id];
    for (const id of range) {
      const entry = shown.get(id);
      if (isPicked && entry) picked.set(id, entry.link);
      else picked.delete(id);
    }
    lastPicked = link.id;
    drawPicked();
  }

  /** @param {boolean} isPicked */
  function pickAll(isPicked) {
    picked.clear();
    if (isPicked) shown.forEach(({ link }, id) => away.has(id) || picked.set(id, link));
    drawPicked();
  }

  function drawPicked() {
    for (const [id, { row }] of shown) {
      if (!row) continue;
      row.setAttribute("aria-selected", String(picked.has(id)));
      /** @type {HTMLInputElement} */ (row.querySelector(".pick input")).checked = picked.has(id);
    }
    all.checked = picked.size > 0 && picked.size === shown.size;
    all.indeterminate = picked.size > 0 && !all.checked;
    drawBulk(bulk, [...picked.values()], { clear: () => pickAll(false), mayWrite: writes });
  }

  /** @param {Link} link */
  function items(link) {
    const open = () => go(`/admin/links/${link.id}`);
    const read = [[icon("chart"), "Statistics", open], [icon("qr"), "QR code", () => openQr(link)], [icon("copy"), "Copy", () => copyLink(link)]];
    const power = link.is_active ? "Switch off" : "Switch on";
    return writes ? [[icon("edit"), "Edit", () => openEditor(link)], ...read, "line", [icon("power"), power, () => switchLinks([link], !link.is_active)],
      [icon("trash"), "Delete", () => deleteLinks([link]), "danger"]] : read;
  }

  /** Moves the focus by rows; the row with the focus is the present one. @param {number} by */
  function step(by) {
    const rows = [...table.rows].filter((row) => row.dataset.id && !row.hidden);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = rows[at < 0 ? 0 : at + by];
    row?.querySelector("a")?.focus();
    row?.scrollIntoView({ block: "nearest" });
    return Boolean(row);
  }

  function keys() {
    const present = () => shown.get(Number(document.activeElement?.closest("tr")?.dataset.id))?.link;
    const on = (/** @type {(link: Link) => void} */ act) => () => {
      const link = present();
      if (link) act(link);
    };
    const toField = (/** @type {KeyboardEvent} */ event) => {
      event.preventDefault();
      compose.field.focus();
      compose.field.select();
    };
    const read = [
      { key: "/", label: "Search, or paste an address", run: toField },
      { key: "Enter", label: "Open the link", run: () => {} },
      { key: "j", label: "Next link", run: () => step(1) },
      { key: "k", label: "Previous link", run: () => step(-1) },
      { key: "c", label: "Copy the link", run: on(copyLink) },
      { key: "q", label: "QR code of the link", run: on(openQr) },
      { key: "x", label: "Select the link", run: on((link) => pick(link, !picked.has(link.id), false)) },
    ];
    return writes ? [...read,
      { key: "n", label: "New link", run: (/** @type {KeyboardEvent} */ event) => { event.preventDefault(); openEditor(); } },
      { key: "e", label: "Edit the link", run: (/** @type {KeyboardEvent} */ event) => { event.preventDefault(); on(openEditor)(); } },
      { key: "Delete", label: "Delete the link, or all that are selected", run: () => { picked.size > 0 ? deleteLinks([...picked.values()]) : on((link) => deleteLinks([link]))(); } },
    ] : read;
  }
}
