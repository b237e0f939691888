// The bar for selected links. It must not know the list.

import { h, show } from "./dom.js";
import { box, menuButton } from "./dialog.js";
import { fromInput, plural } from "./format.js";
import { icon } from "./icons.js";
import { changeAll, deleteLinks, restoreAll, switchLinks } from "./link-actions.js";
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

/**
 * Asks for one value in a box.
 * @param {string} title @param {string} label @param {any} field @param {string} action @param {() => Promise<void>} run
 */
function ask(title, label, field, action, run) {
  field.id = "asked";
  const form = h("form", {}, h("div", { class: "form-field" }, h("label", { for: "asked" }, label), field),
    h("p", {}, h("button", { class: "button primary", type: "submit" }, action)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    dialog.close();
    await run();
  });
  const dialog = box(title, form);
  field.focus();
}

/** @param {Link[]} links @param {() => void} clear */
function askForTags(links, clear) {
  const field = h("input", { type: "text", required: true, placeholder: "summer, poster" });
  ask(`Tag ${plural(links.length, "link", "links")}`, "Tags, with commas between them", field, "Add the tags", async () => {
    const tags = field.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    if (!(await changeAll(links, { add_tags: tags }))) return;
    toast(`Tagged ${plural(links.length, "link", "links")}`, { actions: [["Undo", () => restoreAll(links, "tags")]] });
    clear();
  });
}

/** @param {Link[]} links @param {() => void} clear */
function askForEnd(links, clear) {
  const field = h("input", { type: "datetime-local", required: true });
  ask(`End of ${plural(links.length, "link", "links")}`, "End, in your time", field, "Set the end", async () => {
    if (!(await changeAll(links, { expires_at: fromInput(field.value) }))) return;
    toast(`Set the end of ${plural(links.length, "link", "links")}`, { actions: [["Undo", () => restoreAll(links, "expires_at")]] });
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
