// Sheets at the side, boxes in the middle, and menus. It must not know what they contain.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Opens a modal dialog and returns it. Closing it returns the focus to where it was.
 * @param {string} className
 * @param {string} title
 * @param {any} content
 * @returns {HTMLDialogElement}
 */
function open(className, title, content) {
  const dialog = h("dialog", { class: className, "aria-label": title }, content);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.dispatchEvent(new Event("cancel", { cancelable: true })) && dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** @param {string} title @param {() => void} close */
export function header(title, close) {
  return h("header", {}, h("h2", {}, title),
    h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: close }, icon("close")));
}

/** Opens a box in the middle of the page. @param {string} title @param {...any} content */
export function box(title, ...content) {
  const dialog = open("box", title, h("div", {}, header(title, () => dialog.close()), h("div", { class: "body" }, content)));
  return dialog;
}

/** Opens a sheet at the side. @param {string} title @param {any} form */
export function sheet(title, form) {
  return open("sheet", title, form);
}

/**
 * A button that opens a menu. The items are made when it opens.
 * @param {Record<string, any>} properties
 * @param {any} label
 * @param {() => ([any, string, () => void, string?] | "line")[]} items each with an icon, a label, an action and a class
 */
export function menuButton(properties, label, items) {
  const button = h("button", { type: "button", "aria-haspopup": "menu", "aria-expanded": "false", ...properties }, label);
  button.addEventListener("click", () => openMenu(button, items()));
  return button;
}

/** @param {HTMLElement} button @param {([any, string, () => void, string?] | "line")[]} items */
function openMenu(button, items) {
  const menu = h("div", { class: "menu", popover: "auto", role: "menu" }, items.map((item) => {
    if (item === "line") return h("hr", { role: "separator" });
    const [image, label, act, className] = item;
    const run = () => {
      menu.hidePopover();
      act();
    };
    return h("button", { type: "button", role: "menuitem", class: className, onclick: run }, image, label);
  }));
  button.after(menu);
  menu.addEventListener("toggle", (event) => {
    const isOpen = /** @type {ToggleEvent} */ (event).newState === "open";
    button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) {
      if (menu.contains(document.activeElement)) button.focus();
      menu.remove();
    }
  });
  menu.addEventListener("keydown", (event) => move(menu, event));
  menu.showPopover();
  const at = button.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(at.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8))}px`;
  const below = at.bottom + 4;
  menu.style.top = `${below + menu.offsetHeight > innerHeight ? Math.max(8, at.top - menu.offsetHeight - 4) : below}px`;
  menu.querySelector("[role=menuitem]")?.focus();
}

/** @param {HTMLElement} menu @param {KeyboardEvent} event */
function move(menu, event) {
  const steps = { ArrowDown: 1, ArrowUp: -1 };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("[role=menuitem]")]);
  const next = items.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + steps[event.key];
  items[(next + items.length) % items.length].focus();
}
