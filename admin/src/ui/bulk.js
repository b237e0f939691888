// The bar for selected links. It must not know the list.

import { ask } from "./ask.js";
import { menuButton } from "./dialog.js";
import { h, show } from "./dom.js";
import { fromInput, plural } from "./format.js";
import { icon } from "./icons.js";
import { changeMany, deleteLinks, restoreAll, switchLinks } from "./link-actions.js";
import { toast } from "./toast.js";

/** @typedef {import("./types.js").Link} Link */

/** @param {Element} bar @param {Link[]} links @param {{ clear: () => void, mayWrite: boolean }} actions */
export function drawBulk(bar, links, { clear, mayWrite }) {
  bar.toggleAttribute("hidden", links.length === 0);
  if (links.length === 0) return show(bar);
  const done = (/** @type {() => void} */ act) => () => {
    act();
    clear();
  };
  show(bar, h("b", {}, `${links.length} selected`),
    mayWrite ? [
      h("button", { type: "button", class: "button", onclick: () => askForTags(links, clear) }, "Tag"),
      menuButton({ class: "button" }, "Change", () => [
        [icon("power"), "Switch off", done(() => switchLinks(links, false))],
        [icon("power"), "Switch on", done(() => switchLinks(links, true))],
        [icon("edit"), "Set an end", () => askForEnd(links, clear)],
      ]),
    ] : null,
    h("button", { type: "button", class: "button", onclick: () => download(links) }, "Export"),
    mayWrite ? h("button", { type: "button", class: "button danger", onclick: done(() => deleteLinks(links)) }, "Delete") : null,
    h("button", { type: "button", class: "quiet", "aria-label": "Clear the selection", onclick: clear }, icon("close")));
}

/** @param {Link[]} links @param {() => void} clear */
function askForTags(links, clear) {
  const what = plural(links.length, "link", "links");
  ask(`Tag ${what}`, [{ name: "tags", label: "Tags", note: "With commas between them." }], "Add the tags", async (values) => {
    const tags = values.tags.split(",").map((tag) => tag.trim()).filter(Boolean);
    if (tags.length === 0) throw new Error("Type a tag first.");
    await changeMany(links, { add_tags: tags });
    toast(`Tagged ${what}`, { actions: [["Undo", () => restoreAll(links, "tags")]] });
    clear();
  });
}

/** @param {Link[]} links @param {() => void} clear */
function askForEnd(links, clear) {
  const what = plural(links.length, "link", "links");
  ask(`End of ${what}`, [{ name: "end", label: "End", type: "datetime-local", note: "In your time." }], "Set the end", async ({ end }) => {
    if (!end) throw new Error("Choose a day and a time first.");
    await changeMany(links, { expires_at: fromInput(end) });
    toast(`Set the end of ${what}`, { actions: [["Undo", () => restoreAll(links, "expires_at")]] });
    clear();
  });
}

const COLUMNS = ["id", "short_code", "short_url", "original_url", "title", "state", "tags", "clicks", "last_clicked_at", "created_at", "starts_at", "expires_at", "notes"];

/** Saves the links as CSV. A cell that a spreadsheet would read as a formula gets an apostrophe. @param {Link[]} links */
export function download(links) {
  const cell = (/** @type {any} */ value) => {
    const text = Array.isArray(value) ? value.join("|") : String(value ?? "");
    const safe = /^[=+\-@\t\r]/.test(text) && typeof value !== "number" ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const rows = [COLUMNS, ...links.map((link) => COLUMNS.map((column) => link[column]))];
  const url = URL.createObjectURL(new Blob([rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" }));
  h("a", { href: url, download: "links.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
