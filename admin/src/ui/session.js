// The session: who the caller is, the page that asks for a token, and the end of a session. It must not store a token.

import { change, get, isSessionChange, setHalf, signals } from "./api.js";
import { byId, h, show } from "./dom.js";

/** @typedef {{ is_open: boolean, token: string | null, role: string, user_id: number | null }} Access */

/** @type {{ access: Access | null }} */
const state = { access: null };

/** @returns {Access} */
export function access() {
  return state.access ?? { is_open: false, token: null, role: "viewer", user_id: null };
}

/** Returns whether the caller may change links. */
export function mayWrite() {
  return ["editor", "admin"].includes(access().role);
}

/** Returns whether the caller may reach tokens and the state of the system. */
export function isAdmin() {
  return access().role === "admin";
}

/** Makes a session of a token. @param {string} token */
export async function logIn(token) {
  const { data } = await change("POST", "/admin/session", { token });
  setHalf(data.half);
  state.access = data;
}

/** Asks the API who the caller is. Returns false if it needs a token first. */
export async function findAccess() {
  try {
    state.access = (await get("/admin/access")).data;
    return true;
  } catch (error) {
    if (error.status === 401) return false;
    throw error;
  }
}

/** Follows the end of the session, in this tab and in others. @param {() => void} onLogin */
export function followSession(onLogin) {
  signals.addEventListener("away", (event) => showAway(/** @type {CustomEvent} */ (event).detail));
  signals.addEventListener("unauthorized", () => askForToken(onLogin, state.access !== null));
  addEventListener("storage", (event) => {
    if (isSessionChange(event)) location.reload();
  });
  // A page from the cache of a browser may be of a session that has ended.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}

/**
 * Asks for a token over the present page, so that nothing that was typed is lost.
 * @param {() => void} onLogin
 * @param {boolean} wasLoggedIn
 */
export function askForToken(onLogin, wasLoggedIn) {
  if (byId("login")) return;
  const error = h("p", { class: "error", role: "alert" });
  const field = h("input", {
    id: "token", name: "token", type: "password", autocomplete: "current-password", spellcheck: "false", required: true,
    "aria-describedby": "token-note",
  });
  const button = h("button", { class: "button primary", type: "submit" }, "Open the dashboard");
  const form = h("form", { id: "login", class: wasLoggedIn ? "login body" : "login" },
    h("div", {}, h("h1", {}, wasLoggedIn ? "The session has ended" : "Welcome to Tern"),
      h("p", { class: "muted" }, wasLoggedIn ? "Paste a token to go on. What you typed is still there." : "Paste a token to begin.")),
    h("div", { class: "form-field" }, h("label", { for: "token" }, "Token"), field, error),
    button,
    h("p", { class: "muted small", id: "token-note" }, "Create a token on the machine of the service: ",
      h("code", {}, "tern token create NAME --role editor"), "This browser does not store it."));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    show(error);
    try {
      await logIn(field.value.trim());
      if (dialog) dialog.close();
      onLogin();
    } catch (failure) {
      show(error, failure.message);
      field.select();
    }
    button.disabled = false;
  });
  const dialog = wasLoggedIn ? h("dialog", { class: "box", "aria-label": "Log in" }, form) : null;
  if (dialog) {
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  } else {
    show(byId("main"), form);
  }
  field.focus();
}

/** Ends the session of this browser, and removes everything that the page shows. */
export async function logOut() {
  setHalf(null);
  document.body.replaceChildren();
  try {
    await change("DELETE", "/admin/session");
  } finally {
    location.replace("/admin/");
  }
}

/** Shows that the API is open, and how to close it. */
export function showBanners() {
  byId("open-banner")?.remove();
  if (!access().is_open) return;
  byId("banners").prepend(h("p", { id: "open-banner" }, h("span", {}, "Every program on this machine may change everything here. ",
    h("a", { href: "/admin/tokens" }, "Create a token"), " to close it.")));
}

/** @param {string | null} reason */
function showAway(reason) {
  byId("away-banner")?.remove();
  if (reason === null) return;
  byId("banners").append(h("p", { id: "away-banner", class: "away" },
    `${reason}. What you typed is kept, and this page goes on by itself.`));
}
