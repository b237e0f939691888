// What the command palette offers beside links: screens and actions. It must not draw anything.

import { openEditor } from "./editor.js";
import { asTarget } from "./format.js";
import { showKeys } from "./keys.js";
import { shorten } from "./link-actions.js";
import { go } from "./router.js";
import { access, logOut, mayWrite } from "./session.js";
import { switchTheme } from "./shell.js";
import { toastError } from "./toast.js";

/** @typedef {import("./palette.js").Command} Command */

/** @param {import("./shell.js").Entry[]} screens @param {string} text what was typed @returns {Command[]} */
export function commands(screens, text) {
  const target = mayWrite() ? asTarget(text) : null;
  const action = (/** @type {string} */ label, /** @type {any} */ image, /** @type {() => void} */ run) => ({ group: "Actions", label, image, run });
  return [
    ...(target ? [{ group: "Make", label: `Shorten ${target}`, image: "plus", run: () => shorten(target, openEditor).catch(toastError) }] : []),
    ...screens.map(({ title, icon, address }) => ({ group: "Screens", label: title, image: icon, run: () => go(address) })),
    ...(mayWrite() ? [action("New link", "plus", () => openEditor())] : []),
    action("Light or dark", "moon", switchTheme),
    action("Keys", "keys", showKeys),
    action("API documentation", "external", () => location.assign("/docs")),
    ...(access().is_open ? [] : [action("Log out", "power", logOut)]),
  ];
}
