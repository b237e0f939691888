// Keys of the page: each screen registers its own, and `?` lists them. It must not act on keys typed into a field.

import { box } from "./dialog.js";
import { h } from "./dom.js";

/** @typedef {{ key: string, label: string, run: (event: KeyboardEvent) => void }} Key */

/** @type {Set<Key>} */
const keys = new Set();

const NAMES = { Delete: "Del", Enter: "↵", Escape: "Esc" };

/** Adds keys until the signal is aborted. @param {Key[]} added @param {AbortSignal} [signal] */
export function addKeys(added, signal) {
  for (const key of added) keys.add(key);
  signal?.addEventListener("abort", () => added.forEach((key) => keys.delete(key)));
}

/** Returns whether the user writes into something. @param {EventTarget | null} target */
export function isWriting(target) {
  return target instanceof HTMLElement && target.matches("input:not([type='checkbox']), textarea, select, [contenteditable]");
}

export function startKeys() {
  addKeys([{ key: "?", label: "Show these keys", run: showKeys }]);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isWriting(event.target)) return;
    if (document.querySelector("dialog[open], [popover]:popover-open")) return;
    const key = [...keys].find((key) => key.key === event.key);
    if (!key) return;
    key.run(event);
  });
}

export function showKeys() {
  const rows = [...keys].flatMap(({ key, label }) => [h("dt", {}, h("kbd", {}, NAMES[key] ?? key)), h("dd", {}, label)]);
  box("Keys", h("dl", { class: "keys-list" }, rows));
}
