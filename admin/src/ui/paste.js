// Makes a link of an address that is pasted anywhere outside of a field. It must not touch what is pasted into a field.

import { asTarget } from "./format.js";
import { openEditor } from "./editor.js";
import { isWriting } from "./keys.js";
import { shorten } from "./link-actions.js";
import { mayWrite } from "./session.js";
import { toastError } from "./toast.js";

export function startPaste() {
  document.addEventListener("paste", (event) => {
    if (isWriting(event.target) || document.querySelector("dialog[open]") || !mayWrite()) return;
    const target = asTarget(event.clipboardData?.getData("text/plain") ?? "");
    if (!target) return;
    event.preventDefault();
    make(target);
  });
}

/** @param {string} target */
async function make(target) {
  try {
    await shorten(target, openEditor);
  } catch (error) {
    toastError(error, [["Try again", () => make(target)]]);
  }
}
