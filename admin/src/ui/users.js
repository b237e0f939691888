// The users: adds, renames and deletes them with their links. It must not show links or tokens.

import { change, get } from "./api.js";
import { ask } from "./ask.js";
import { menuButton } from "./dialog.js";
import { h, show } from "./dom.js";
import { endless, skeleton } from "./endless.js";
import { ago, count, moment } from "./format.js";
import { icon } from "./icons.js";
import { addKeys } from "./keys.js";
import { go } from "./router.js";
import { access, mayWrite } from "./session.js";
import { toast, toastError } from "./toast.js";
import { deleteLater } from "./undo.js";

/** @typedef {{ id: number, username: string, email: string, created_at: string }} User */

/** Users that are about to be deleted, by id. @type {Set<number>} */
const leaving = new Set();

/** @type {import("./router.js").Screen} */
export async function usersScreen(main, _place, signal) {
  const writes = mayWrite() && access().user_id === null;
  const body = h("tbody");
  const total = h("span", { class: "muted" });
  const table = h("table", { class: "rows" }, h("caption", { class: "visually-hidden" }, "Users"), h("thead", {}, h("tr", {},
    h("th", { scope: "col" }, "User"), h("th", { scope: "col", class: "wide" }, "E-mail"), h("th", { scope: "col", class: "number" }, "Added"),
    h("th", { scope: "col", class: "menu" }, h("span", { class: "visually-hidden" }, "Actions")))), body);
  const empty = h("div", { class: "empty", hidden: true }, h("h2", {}, "No users yet"), h("p", { class: "muted" }, "Each link belongs to a user. The first link makes the first one."));
  const list = endless({ signal, draw: (rows, isFirst, headers) => {
    if (isFirst) {
      show(body);
      const all = headers.get("x-total-count") ?? "0";
      show(total, `${count(all)} ${all === "1" ? "user" : "users"}`);
      empty.hidden = rows.length > 0;
      table.hidden = rows.length === 0;
    }
    body.append(...rows.map(row));
  } });
  show(main, h("div", { class: "head within" }, h("h1", {}, "Users"), total,
    writes ? h("button", { type: "button", class: "button primary push", onclick: add }, icon("plus"), "Add a user") : null), table, empty, list.end);
  table.hidden = true;
  show(list.end, skeleton());
  if (writes) addKeys([{ key: "n", label: "Add a user", run: (event) => { event.preventDefault(); add(); } }], signal);
  await load();

  async function load() {
    await list.read("/users?per_page=100");
  }

  /** @param {User} user */
  function row(user) {
    const address = `/admin/?user_id=${user.id}`;
    const element = h("tr", { hidden: leaving.has(user.id) },
      h("td", {}, h("a", { href: address, title: `Links of ${user.username}` }, user.username), h("span", { class: "narrow muted small" }, user.email)),
      h("td", { class: "wide muted" }, user.email), h("td", { class: "number muted" }, h("span", { title: moment(user.created_at) }, ago(user.created_at))),
      h("td", { class: "menu" }, menuButton({ class: "quiet", "aria-label": `More for ${user.username}` }, icon("more"), () => items(user, address, element))));
    return element;
  }

  /** @param {User} user @param {string} address @param {HTMLElement} element @returns {any[]} */
  function items(user, address, element) {
    const read = [[icon("list"), "Show the links", () => go(address)], [icon("history"), "Show the changes", () => go(`/admin/audit?user_id=${user.id}`)]];
    return writes ? [...read, [icon("edit"), "Rename", () => rename(user)], "line", [icon("trash"), "Delete with all links", () => remove(user, element), "danger"]] : read;
  }

  function add() {
    ask("Add a user", [{ name: "username", label: "Name" }, { name: "email", label: "E-mail", type: "email" }], "Add", async (values) => {
      const { data } = await change("POST", "/users", values);
      toast(`Added ${data.username}`);
      await load();
    });
  }

  /** @param {User} user */
  function rename(user) {
    const questions = [{ name: "username", label: "Name", value: user.username }, { name: "email", label: "E-mail", type: "email", value: user.email }];
    ask(`Rename ${user.username}`, questions, "Save", async (values) => {
      await change("PUT", `/users/${user.id}`, values);
      const undo = () => change("PUT", `/users/${user.id}`, { username: user.username, email: user.email }).then(load).catch(toastError);
      toast(`Saved ${values.username}`, { actions: [["Undo", undo]] });
      await load();
    });
  }

  /** @param {User} user @param {HTMLElement} element */
  async function remove(user, element) {
    try {
      const { headers } = await get(`/urls?user_id=${user.id}&per_page=1`, signal);
      const links = headers.get("x-total-count") ?? "0";
      leaving.add(user.id);
      element.hidden = true;
      deleteLater(`Deleting ${user.username} with ${count(links)} ${links === "1" ? "link" : "links"}, their clicks and their history`, {
        run: (options) => change("DELETE", `/users/${user.id}?cascade=true`, undefined, options),
        undo: () => {
          leaving.delete(user.id);
          if (!signal.aborted) load().catch(() => {});
        },
        done: () => leaving.delete(user.id),
      });
    } catch (error) {
      toastError(error);
    }
  }
}
