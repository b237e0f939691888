// The bar on top: screens, theme, keys and session. It must not fetch anything.

import { box, menuButton } from "./dialog.js";
import { byId, h, s, show } from "./dom.js";
import { icon } from "./icons.js";
import { access, logOut } from "./session.js";

/** @typedef {{ name: string, title: string, address: string }} Entry */

/** @param {Entry[]} entries @param {string} current @param {() => void} showKeys */
export function drawShell(entries, current, showKeys) {
  const links = entries.map(({ name, title, address }) =>
    h("a", { href: address, "aria-current": name === current ? "page" : null }, title));
  const mark = s("svg", { viewBox: "0 0 32 32", "aria-hidden": "true" },
    s("path", { d: "M2 13c7-5 11-1 14 4 3-5 7-9 14-4-6 0-9 3-12 10h-4C11 16 8 13 2 13z", fill: "currentColor" }));
  show(byId("shell"),
    h("a", { class: "brand", href: "/admin/" }, mark, "Tern"),
    h("nav", { "aria-label": "Screens" }, links),
    h("button", { type: "button", class: "quiet wide", "aria-label": "Keys", title: "Keys (?)", onclick: showKeys }, icon("keys")),
    themeButton(),
    menuButton({ class: "quiet", "aria-label": "Account", title: "Account" }, icon("user"), accountItems));
}

/** @returns {any[]} */
function accountItems() {
  const { is_open: isOpen, token, role, user_id: user } = access();
  const about = () => box("Access", h("dl", { class: "facts" },
    h("dt", {}, "Token"), h("dd", {}, token ?? "none is needed on this machine"),
    h("dt", {}, "Role"), h("dd", {}, role),
    h("dt", {}, "Rows"), h("dd", {}, user ? `of user ${user}` : "of all users")));
  const items = [[icon("user"), "Who am I?", about], [icon("external"), "API documentation", () => location.assign("/docs")]];
  return isOpen ? items : [...items, "line", [icon("power"), "Log out", logOut]];
}

function themeButton() {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const draw = () => show(button, icon(isDark() ? "sun" : "moon"));
  const button = h("button", {
    type: "button", class: "quiet", "aria-label": "Light or dark", title: "Light or dark",
    onclick: () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      localStorage.setItem("tern-theme", root.dataset.theme);
      draw();
    },
  });
  draw();
  return button;
}
