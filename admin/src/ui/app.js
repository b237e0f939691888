// The start of the dashboard: finds the caller, then follows addresses to screens. It must not draw a screen itself.
// To add a screen, write its file and add one line to SCREENS; see docs/DASHBOARD.md.

import { auditScreen } from "./audit.js";
import { commands } from "./commands.js";
import { h, show, byId } from "./dom.js";
import { importScreen } from "./import.js";
import { showKeys, startKeys } from "./keys.js";
import { linkScreen } from "./link.js";
import { linksScreen } from "./links.js";
import { overviewScreen } from "./overview.js";
import { openPalette, startPalette } from "./palette.js";
import { startPaste } from "./paste.js";
import { start, reload } from "./router.js";
import { findAccess, askForToken, followSession, isAdmin, showBanners } from "./session.js";
import { drawShell } from "./shell.js";
import { systemScreen } from "./system.js";
import { tagsScreen } from "./tags.js";
import { tokensScreen } from "./tokens.js";
import { usersScreen } from "./users.js";

/**
 * The screens by the first part of their address. One with an address stands in the bar; `item` draws one thing.
 * Those for admins also stand in the menu of the account, and only there where the bar is narrow.
 * @type {{ name: string, title: string, icon?: string, address?: string, isForAdmins?: boolean, draw: import("./router.js").Screen, item?: import("./router.js").Screen }[]}
 */
const SCREENS = [
  { name: "links", title: "Links", icon: "list", address: "/admin/", draw: linksScreen, item: linkScreen },
  { name: "overview", title: "Overview", icon: "chart", address: "/admin/overview", draw: overviewScreen },
  { name: "tags", title: "Tags", icon: "tag", address: "/admin/tags", draw: tagsScreen },
  { name: "users", title: "Users", icon: "user", address: "/admin/users", draw: usersScreen },
  { name: "import", title: "Import", icon: "download", address: "/admin/import", draw: importScreen },
  { name: "audit", title: "Audit", icon: "history", address: "/admin/audit", draw: auditScreen },
  { name: "tokens", title: "Tokens", icon: "key", address: "/admin/tokens", isForAdmins: true, draw: tokensScreen },
  { name: "system", title: "System", icon: "pulse", address: "/admin/system", isForAdmins: true, draw: systemScreen },
];

/** The screens that the caller may see. */
const entries = () => /** @type {import("./shell.js").Entry[]} */ (SCREENS.filter(({ address, isForAdmins }) => address && (!isForAdmins || isAdmin())));

/** @param {string} text */
const found = (text) => commands(entries(), text);

let leaving = new AbortController();

let hasDrawn = false;

/** @param {import("./router.js").Place} place */
async function draw(place) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const screen = SCREENS.find(({ name }) => name === place.screen);
  drawShell(entries(), place.screen, { showKeys, find: () => openPalette(found) });
  document.title = screen ? `${screen.title} · Tern` : "Tern";
  const main = byId("main");
  // The element that had the focus is gone with its screen.
  if (hasDrawn) main.focus({ preventScroll: true });
  hasDrawn = true;
  scrollTo(0, 0);
  const run = place.item ? screen?.item : screen?.draw;
  if (!run) {
    show(main, h("div", { class: "empty" }, h("h1", {}, "There is no such page"), h("a", { class: "button", href: "/admin/" }, "All links")));
    return;
  }
  try {
    await run(main, place, signal);
  } catch (error) {
    if (signal.aborted || error.status === 401) return;
    show(main, h("div", { class: "empty" }, h("h1", {}, "This cannot be shown"), h("p", { class: "muted" }, error.message),
      h("button", { class: "button", type: "button", onclick: reload }, "Try again"), " ",
      h("a", { class: "button", href: "/admin/" }, "All links")));
  }
}

let hasBegun = false;

/** Begins after the first login. After a later one, only a screen without an open sheet is drawn again. */
function proceed() {
  showBanners();
  if (hasBegun) {
    if (!document.querySelector("dialog.sheet")) reload();
    return;
  }
  hasBegun = true;
  startKeys();
  startPaste();
  startPalette(found);
  start(draw);
  reload();
}

const isKnown = await findAccess();
followSession(proceed);
if (isKnown) proceed();
else askForToken(proceed, false);
