// The rows of the list in pages: those far from the view leave the document, and their room stays. It must not fetch.

import { h } from "./dom.js";

/** @typedef {import("./types.js").Link} Link */
/** @typedef {{ body: HTMLTableSectionElement, path: string, ids: number[], isOut: boolean }} Page */
/** @typedef {{ link: Link, page: Page, row: HTMLTableRowElement | null }} Entry */

/** How far outside of the view rows are still drawn. */
const MARGIN = "1500px 0px";

/**
 * @param {HTMLTableElement} table @param {(link: Link) => HTMLTableRowElement} draw makes the row of a link @param {AbortSignal} signal
 */
export function linkPages(table, draw, signal) {
  /** @type {Map<number, Entry>} */
  const entries = new Map();
  /** @type {Page[]} */
  let pages = [];
  const observer = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      const page = pages.find(({ body }) => body === target);
      if (page && isIntersecting) enter(page);
      else if (page) leave(page);
    }
  }, { rootMargin: MARGIN });
  signal.addEventListener("abort", () => observer.disconnect());

  /** @param {number} id */
  function make(id) {
    const entry = /** @type {Entry} */ (entries.get(id));
    entry.row = draw(entry.link);
    return entry.row;
  }

  /** @param {Page} page */
  function enter(page) {
    if (!page.isOut) return;
    page.isOut = false;
    page.body.replaceChildren(...page.ids.map(make));
  }

  /** Takes rows out, unless the user is among them. @param {Page} page */
  function leave(page) {
    const height = page.body.offsetHeight;
    if (page.isOut || height === 0 || page.body.contains(document.activeElement)) return;
    page.isOut = true;
    const cell = h("td", { class: "gap", colspan: 6 });
    cell.style.height = `${height}px`;
    page.body.replaceChildren(h("tr", {}, cell));
    for (const id of page.ids) /** @type {Entry} */ (entries.get(id)).row = null;
  }

  return {
    entries,
    clear() {
      pages.forEach(({ body }) => body.remove());
      pages = [];
      entries.clear();
      observer.disconnect();
    },
    /** Adds a page; a link that is shown already stays where it is. @param {string} path @param {Link[]} links */
    append(path, links) {
      const page = { body: h("tbody"), path, ids: /** @type {number[]} */ ([]), isOut: false };
      for (const link of links.filter(({ id }) => !entries.has(id))) {
        entries.set(link.id, { link, page, row: null });
        page.ids.push(link.id);
      }
      page.body.append(...page.ids.map(make));
      pages.push(page);
      table.append(page.body);
      observer.observe(page.body);
    },
    /** Adds a link above all others. @param {Link} link */
    prepend(link) {
      const [page] = pages;
      if (!page || entries.has(link.id)) return;
      enter(page);
      page.ids.unshift(link.id);
      entries.set(link.id, { link, page, row: null });
      page.body.prepend(make(link.id));
    },
    /** Draws a link again after a change. @param {Link} link */
    replace(link) {
      const entry = entries.get(link.id);
      if (!entry) return;
      entry.link = link;
      if (!entry.row) return;
      const old = entry.row;
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(make(link.id));
      if (hadFocus) entry.row?.querySelector("a")?.focus();
    },
    /** The requests of the pages with any of these links; null if one of them is not shown. @param {number[]} ids */
    paths(ids) {
      const found = ids.map((id) => entries.get(id)?.page.path);
      return found.every((path) => path !== undefined) ? [...new Set(found)] : null;
    },
    /** The ids of all links in their order. */
    ids: () => pages.flatMap(({ ids }) => ids),
  };
}
