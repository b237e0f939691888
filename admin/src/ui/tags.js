// The tags with their links: each can be renamed and taken off all of its links. It must not show links.

import { change, get } from "./api.js";
import { ask } from "./ask.js";
import { menuButton } from "./dialog.js";
import { h, show } from "./dom.js";
import { endless, skeleton } from "./endless.js";
import { count, plural } from "./format.js";
import { icon } from "./icons.js";
import { go } from "./router.js";
import { mayWrite } from "./session.js";
import { toast, toastError } from "./toast.js";
import { deleteLater } from "./undo.js";

/** @typedef {{ tag: string, links: number }} Tag */

/** Tags that are about to be deleted. @type {Set<string>} */
const leaving = new Set();

/** @type {import("./router.js").Screen} */
export async function tagsScreen(main, _place, signal) {
  const body = h("tbody");
  const total = h("span", { class: "muted" });
  const table = h("table", { class: "rows" }, h("caption", { class: "visually-hidden" }, "Tags"), h("thead", {}, h("tr", {},
    h("th", { scope: "col" }, "Tag"), h("th", { scope: "col", class: "number" }, "Links"), h("th", { scope: "col", class: "menu" }, h("span", { class: "visually-hidden" }, "Actions")))), body);
  const empty = h("div", { class: "empty", hidden: true }, h("h2", {}, "No tags yet"), h("p", { class: "muted" }, "Give a link a tag in its editor, or select links and tag them all."),
    h("a", { class: "button", href: "/admin/" }, "All links"));
  const list = endless({ signal, draw: (rows, isFirst, headers) => {
    if (isFirst) {
      show(body);
      const all = headers.get("x-total-count") ?? "0";
      show(total, `${count(all)} ${all === "1" ? "tag" : "tags"}`);
      empty.hidden = rows.length > 0;
      table.hidden = rows.length === 0;
    }
    body.append(...rows.map(row));
  } });
  show(main, h("div", { class: "head within" }, h("h1", {}, "Tags"), total), table, empty, list.end);
  table.hidden = true;
  show(list.end, skeleton());
  await load();

  async function load() {
    await list.read("/tags?per_page=100");
  }

  /** @param {Tag} tag */
  function row(tag) {
    const address = `/admin/?tag=${encodeURIComponent(tag.tag)}`;
    const element = h("tr", { hidden: leaving.has(tag.tag) }, h("td", {}, h("a", { class: "chip", href: address }, tag.tag)),
      h("td", { class: "number" }, count(tag.links)),
      h("td", { class: "menu" }, mayWrite() ? menuButton({ class: "quiet", "aria-label": `More for ${tag.tag}` }, icon("more"), () => [
        [icon("list"), "Show its links", () => go(address)],
        [icon("edit"), "Rename", () => rename(tag)], "line", [icon("trash"), "Delete", () => remove(tag, element), "danger"]]) : null));
    return element;
  }

  /** @param {Tag} tag */
  function rename({ tag, links }) {
    ask(`Rename ${tag}`, [{ name: "tag", label: "New name", value: tag, note: `Changes ${plural(links, "link", "links")}.` }], "Rename", async ({ tag: typed }, isRepeated) => {
      const name = typed.toLowerCase();
      if (name === tag) return;
      const { headers } = await get(`/urls?tag=${encodeURIComponent(name)}&per_page=1`, signal);
      const others = Number.parseInt(headers.get("x-total-count") ?? "0", 10);
      if (others > 0 && !isRepeated) return `${plural(others, "link has", "links have")} the tag ${name} already. Rename once more to join both tags, which cannot be undone.`;
      await replace(tag, links, name);
      await load();
      const undo = () => replace(name, links, tag).then(load).catch(toastError);
      toast(`Renamed ${tag} to ${name}`, { actions: others > 0 ? [] : [["Undo", undo]] });
    });
  }

  /** @param {Tag} tag @param {HTMLElement} element */
  function remove({ tag, links }, element) {
    leaving.add(tag);
    element.hidden = true;
    deleteLater(`Taking ${tag} off ${plural(links, "link", "links")}`, {
      run: (options) => change("PATCH", "/urls", { filter: { tag }, expect: links, set: { remove_tags: [tag] } }, options),
      undo: () => {
        leaving.delete(tag);
        if (!signal.aborted) load().catch(() => {});
      },
      done: () => leaving.delete(tag),
    });
  }
}

/** Replaces a tag on all of its links, which are as many as the user saw. @param {string} tag @param {number} links @param {string} name */
function replace(tag, links, name) {
  return change("PATCH", "/urls", { filter: { tag }, expect: links, set: { add_tags: [name], remove_tags: [tag] } });
}
