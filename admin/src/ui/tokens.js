// The tokens of the API, for admins: makes one and shows it once, and revokes them. It must not store a token's text.

import { change, get } from "./api.js";
import { ask } from "./ask.js";
import { copy } from "./clipboard.js";
import { box } from "./dialog.js";
import { h, show } from "./dom.js";
import { skeleton } from "./endless.js";
import { ago, count, moment } from "./format.js";
import { icon } from "./icons.js";
import { addKeys } from "./keys.js";
import { setQuery } from "./router.js";
import { access, logIn, showBanners } from "./session.js";
import { deleteLater } from "./undo.js";

/**
 * @typedef {object} Token
 * @property {number} id @property {string} name @property {string} role @property {number | null} user_id
 * @property {"valid" | "expired" | "revoked"} state @property {string} created_at @property {string | null} created_by
 * @property {string | null} expires_at @property {string | null} last_used_at @property {string | null} revoked_at @property {string | null} revoked_by
 */

const ROLES = { viewer: "Viewer: reads", editor: "Editor: changes links, users and events", admin: "Admin: everything, tokens too", metrics: "Metrics: only /metrics" };

const ENDS = { "": "Never", 7: "In 7 days", 30: "In 30 days", 90: "In 90 days", 365: "In a year" };

const DAY = 86_400_000;

/** The users that a list of choices has at most. */
const MOST_USERS = 100;

/** Tokens that are about to be revoked, by id. @type {Set<number>} */
const leaving = new Set();

/** @type {import("./router.js").Screen} */
export async function tokensScreen(main, place, signal) {
  const view = place.query;
  const body = h("tbody");
  const table = h("table", { class: "rows tokens" }, h("caption", { class: "visually-hidden" }, "Tokens"), h("thead", {}, h("tr", {},
    ["Token", "Role", "Rows"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col", class: "wide" }, "Made"), h("th", { scope: "col" }, "Last use"),
    h("th", { scope: "col", class: "wide" }, "End"), h("th", { scope: "col", class: "menu" }, h("span", { class: "visually-hidden" }, "Actions")))), body);
  const waiting = skeleton();
  const empty = h("div", { class: "empty", hidden: true });
  const tools = h("div", { class: "tools" });
  const note = h("div", {});
  const create = h("button", { type: "button", class: "button primary push", onclick: make }, icon("plus"), "Create a token");
  show(main, h("div", { class: "head within broad" }, h("h1", {}, "Tokens"), create), note, tools, table, empty, waiting);
  table.hidden = true;
  addKeys([{ key: "n", label: "Create a token", run: (event) => { event.preventDefault(); make(); } }], signal);
  /** @type {Token[]} */
  let tokens = [];
  await load();

  async function load() {
    tokens = (await get("/tokens", signal)).data;
    draw();
  }

  function draw() {
    const areEnded = view.get("state") === "ended";
    const shown = tokens.filter(({ state }) => (state === "valid") !== areEnded).reverse();
    const valid = tokens.filter(({ state }) => state === "valid").length;
    waiting.remove();
    show(note, access().is_open ? h("p", { class: "note within" }, "Every program on this machine may change everything, since there is no token yet. The first token closes the API: from then on every program needs one. This browser goes on with it.") : null);
    const choice = (/** @type {string} */ key, /** @type {string} */ text) =>
      h("button", { type: "button", "aria-pressed": String(areEnded === (key === "ended")), "data-key": key, onclick: () => choose(key) }, text);
    show(tools, tokens.length === 0 ? null : h("div", { class: "segments", role: "group", "aria-label": "State" }, choice("valid", `Valid (${valid})`), choice("ended", `Ended (${tokens.length - valid})`)));
    show(body, ...shown.map(row));
    table.hidden = shown.length === 0;
    empty.hidden = shown.length > 0;
    show(empty, h("h2", {}, areEnded ? "No token has ended" : "No tokens"), h("p", { class: "muted" }, "A token lets a program, or a person in this dashboard, use the API within its role."));
  }

  /** @param {string} key */
  function choose(key) {
    if (key === "ended") view.set("state", key);
    else view.delete("state");
    setQuery(view);
    draw();
    /** @type {HTMLElement | null} */ (tools.querySelector(`[data-key="${key}"]`))?.focus();
  }

  /** @param {Token} token */
  function row(token) {
    const { name, role, user_id: user, state } = token;
    const at = (/** @type {string | null} */ time, /** @type {string} */ none) => (time ? h("span", { title: moment(time) }, ago(time)) : none);
    const isOwn = !access().is_open && access().token === name && state === "valid";
    const end = state === "revoked" ? h("span", { title: moment(token.revoked_at ?? "") }, `revoked ${ago(token.revoked_at ?? "")}${token.revoked_by ? ` by ${token.revoked_by}` : ""}`) : at(token.expires_at, "never");
    const element = h("tr", { hidden: leaving.has(token.id) },
      h("td", {}, h("b", {}, name), isOwn ? h("span", { class: "chip own" }, "in use here") : null, h("span", { class: "narrow muted small" }, token.last_used_at ? `Used ${ago(token.last_used_at)}` : "Never used", state === "revoked" ? `, revoked ${ago(token.revoked_at ?? "")}` : token.expires_at ? `, ends ${ago(token.expires_at)}` : ", no end")),
      h("td", {}, role), h("td", {}, user ? h("a", { href: `/admin/?user_id=${user}` }, `user ${user}`) : h("span", { class: "muted" }, "all")),
      h("td", { class: "wide muted" }, at(token.created_at, ""), token.created_by ? ` by ${token.created_by}` : ""),
      h("td", { class: "muted" }, at(token.last_used_at, "never")), h("td", { class: "wide muted" }, end),
      h("td", { class: "menu" }, state === "valid" ? h("button", { type: "button", class: "button small-button danger", "aria-label": `Revoke ${name}`, onclick: () => revoke(token, element, isOwn) }, "Revoke") : null));
    return element;
  }

  /** @param {Token} token @param {HTMLElement} element @param {boolean} isOwn */
  function revoke({ id, name }, element, isOwn) {
    leaving.add(id);
    element.hidden = true;
    create.focus();
    const again = () => {
      leaving.delete(id);
      if (!signal.aborted) load().catch(() => {});
    };
    deleteLater(isOwn ? `Revoking ${name}, which ends this session` : `Revoking ${name} in ten seconds`, {
      run: (options) => change("DELETE", `/tokens/${id}`, undefined, options), undo: again, done: again, now: "Revoke now",
    });
  }

  async function make() {
    const isFirst = access().is_open;
    const more = isFirst ? [] : [
      { name: "role", label: "Role", options: Object.entries(ROLES), value: "viewer" },
      { name: "user_id", label: "Rows", note: "A viewer or an editor may be limited to what belongs to one user.", isOptional: true, ...(await ownerQuestion()) },
      { name: "end", label: "End", options: Object.entries(ENDS).sort(([a], [b]) => Number(a) - Number(b)), value: "", isOptional: true },
    ];
    const what = { name: "name", label: "Name", note: "Letters, digits, dots, dashes and underscores. The audit shows it beside each change." };
    ask("Create a token", [what, ...more], isFirst ? "Create it and close the API" : "Create", async ({ name, role = "admin", user_id: user, end }) => {
      const body = { name, role, user_id: user ? Number(user) : null, expires_at: end ? new Date(Date.now() + Number(end) * DAY).toISOString().slice(0, 19) : null };
      const { data } = await change("POST", "/tokens", body);
      // The browser has to go on with a token before its next request.
      if (data.closed_the_api) await logIn(data.token);
      showOnce(data);
      showBanners();
      await load();
    });
  }

  /** The question for the owner: a choice, or an id where there are many users. */
  async function ownerQuestion() {
    const { data, headers } = await get(`/users?per_page=${MOST_USERS}`, signal);
    const total = Number.parseInt(headers.get("x-total-count") ?? "0", 10);
    if (total > MOST_USERS) return { type: "number", value: "", note: `The id of the user to whose rows a viewer or an editor is limited, one of ${count(total)}. Nothing is no limit.` };
    return { options: [["", "Of all users"], ...data.map((/** @type {any} */ user) => [String(user.id), `Of ${user.username}`])], value: "" };
  }
}

/** Shows the text of a token, which no later answer has. @param {{ name: string, token: string, closed_the_api: boolean }} made */
function showOnce({ name, token, closed_the_api: isClosed }) {
  const text = h("input", { type: "text", readonly: true, class: "mono", value: token, "aria-label": `Token ${name}`, onfocus: () => text.select() });
  const status = h("p", { class: "small", role: "status" });
  const put = async () => {
    show(status, (await copy(token)) ? "Copied." : "Copy it yourself: it is selected.");
    text.select();
  };
  const dialog = box(`Token ${name}`, h("div", { class: "ask" },
    h("p", {}, "Store it now: Tern has only its hash, and never shows it again."), h("div", { class: "once" }, text, h("button", { type: "button", class: "button primary", onclick: put }, icon("copy"), "Copy")),
    status, isClosed ? h("p", { class: "muted" }, "The API is closed now. This browser goes on with this token.") : null,
    h("p", {}, h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "I have stored it"))));
  // A key or a click beside the box must not take away what is shown only once.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  text.focus();
}
