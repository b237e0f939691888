// The bar on top: screens, theme, keys and session. It must not fetch anything.

import { box, menuButton } from "./dialog.js";
import { byId, h, s, show } from "./dom.js";
import { icon } from "./icons.js";
import { go } from "./router.js";
import { KEY } from "./palette.js";
import { access, logOut } from "./session.js";

/** @typedef {{ name: string, title: string, icon: any, address: string, isForAdmins?: boolean }} Entry */

/** @param {Entry[]} entries @param {string} current @param {{ showKeys: () => void, find: () => void }} actions */
export function drawShell(entries, current, { showKeys, find }) {
  const links = entries.map(({ name, title, address, isForAdmins }) =>
    h("a", { href: address, class: isForAdmins ? "wide" : null, "aria-current": name === current ? "page" : null }, title));
  const mark = s("svg", { viewBox: "0 0 32 32", "aria-hidden": "true" },
    s("path", { d: "M2 13c7-5 11-1 14 4 3-5 7-9 14-4-6 0-9 3-12 10h-4C11 16 8 13 2 13z", fill: "currentColor" }));
  show(byId("shell"),
    h("a", { class: "brand", href: "/admin/", "aria-label": "Tern" }, mark, h("span", {}, "Tern")),
    h("nav", { "aria-label": "Screens" }, links),
    h("button", { type: "button", class: "quiet", "aria-label": "Find", title: `Find (${KEY})`, onclick: find }, icon("search")),
    h("button", { type: "button", class: "quiet wide", "aria-label": "Keys", title: "Keys (?)", onclick: showKeys }, icon("keys")),
    themeButton(),
    menuButton({ class: "quiet", "aria-label": "Account", title: "Account" }, icon("user"), () => accountItems(entries)));
}

/** @param {Entry[]} entries @returns {any[]} */
function accountItems(entries) {
  const { is_open: isOpen, token, role, user_id: user } = access();
  const about = () => box("Access", h("dl", { class: "facts" },
    h("dt", {}, "Token"), h("dd", {}, token ?? "none is needed on this machine"),
    h("dt", {}, "Role"), h("dd", {}, role),
    h("dt", {}, "Rows"), h("dd", {}, user ? `of user ${user}` : "of all users")));
  const more = entries.filter(({ isForAdmins }) => isForAdmins).map(({ title, icon: image, address }) => [icon(image), title, () => go(address)]);
  const items = [[icon("user"), "Who am I?", about], ...more, [icon("external"), "API documentation", () => location.assign("/docs")]];
  return isOpen ? items : [...items, "line", [icon("power"), "Log out", logOut]];
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return (chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

function themeButton() {
  return h("button", { id: "theme", type: "button", class: "quiet", "aria-label": "Light or dark", title: "Light or dark", onclick: switchTheme }, icon(isDark() ? "sun" : "moon"));
}

// The icon follows the theme of the system, while none is chosen.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => byId("theme") && show(byId("theme"), icon(isDark() ? "sun" : "moon")));

/** Changes between light and dark. */
export function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("tern-theme", theme);
  show(byId("theme"), icon(isDark() ? "sun" : "moon"));
}
