// Short messages at the edge of the page, announced to screen readers. It must not decide what an action does.

import { byId, h } from "./dom.js";
import { icon } from "./icons.js";

const SECONDS = 10;

/** The messages that a later one of the same kind replaces, each with what closes it. @type {Map<string, () => void>} */
const named = new Map();

/**
 * Shows a message with actions, in the place of one that it replaces. Returns a function that removes it.
 * @param {string} text
 * @param {{ actions?: [string, () => void][], isError?: boolean, seconds?: number, onEnd?: () => void, replaces?: string }} [options]
 */
export function toast(text, { actions = [], isError = false, seconds = SECONDS, onEnd, replaces } = {}) {
  let isShown = true;
  const close = () => {
    if (!isShown) return;
    isShown = false;
    clearTimeout(timer);
    box.remove();
    if (replaces && named.get(replaces) === close) named.delete(replaces);
    onEnd?.();
  };
  const buttons = actions.map(([label, act]) => h("button", {
    type: "button",
    onclick: () => {
      onEnd = undefined;
      close();
      act();
    },
  }, label));
  const dismiss = h("button", { type: "button", "aria-label": "Dismiss", onclick: close }, icon("close"));
  const box = h("div", { class: isError ? "toast bad" : "toast" }, h("p", {}, text), buttons, dismiss);
  // A message stays while the pointer or the focus is on it.
  /** @type {number} */
  let timer;
  const hold = () => clearTimeout(timer);
  const release = () => {
    hold();
    timer = setTimeout(close, seconds * 1000);
  };
  for (const name of ["pointerenter", "focusin"]) box.addEventListener(name, hold);
  for (const name of ["pointerleave", "focusout"]) box.addEventListener(name, release);
  release();
  const list = byId("toasts");
  if (replaces) {
    named.get(replaces)?.();
    named.set(replaces, close);
  }
  list.append(box);
  while (list.children.length > 4) list.firstElementChild.querySelector("button:last-child").click();
  return close;
}

/** Shows why something failed. @param {unknown} error @param {[string, () => void][]} [actions] */
export function toastError(error, actions = []) {
  toast(error instanceof Error ? error.message : String(error), { isError: true, actions });
}
