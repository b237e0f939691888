// The history of a link: what each change changed, with the way back. It must not change the link itself.

import { get } from "./api.js";
import { h, show } from "./dom.js";
import { shownValue } from "./editor-fields.js";
import { neighbour } from "./endless.js";
import { ago, moment } from "./format.js";
import { ACTIONS, FIELDS, isAlike, putBack } from "./put-back.js";
import { mayWrite } from "./session.js";
import { toastError } from "./toast.js";

/** @typedef {import("./types.js").Link} Link */
/** @typedef {{ id: number, action: string, before: any, after: any, at: string, token: string | null }} Entry */

/** The changes that are shown here; the audit has all. */
const MOST = 5;

/** Draws the last changes of a link, newest first. @param {HTMLElement} place @param {Link} link @param {AbortSignal} signal */
export async function drawHistory(place, link, signal) {
  try {
    // The page behind every list is empty, and its header leads to the newest entries.
    const { headers } = await get(`/audit?url_id=${link.id}&page=18446744073709551615&per_page=${MOST}`, signal);
    const newest = neighbour(headers, "prev");
    const last = newest ? await get(newest, signal) : null;
    const entries = last?.data.reverse() ?? [];
    show(place, h("h2", {}, "History"), entries.length === 0 ? h("p", { class: "muted" }, "No change is recorded: the link is as it was loaded.")
      : h("ol", { class: "history" }, entries.map((entry) => row(link, entry))),
    last && neighbour(last.headers, "prev") ? h("a", { class: "button", href: `/admin/audit?url_id=${link.id}` }, "All changes") : null);
  } catch (error) {
    if (signal.aborted || error.status === 401) return;
    show(place, h("h2", {}, "History"), h("p", { class: "error" }, error.message));
  }
}

/** @param {Link} link @param {Entry} entry */
function row(link, entry) {
  const { before, after } = entry;
  const names = before && after ? Object.keys(FIELDS).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name])) : [];
  const changes = names.map((name) => h("div", {}, h("dt", {}, FIELDS[name]),
    h("dd", {}, h("del", {}, shownValue(name, before[name])), h("span", { "aria-hidden": "true" }, " → "), h("ins", {}, shownValue(name, after[name])))));
  const isBack = before && isAlike(before, link);
  const back = before && after && names.length > 0 && mayWrite()
    ? isBack ? h("p", { class: "small" }, "The link is as before this change.")
      : h("button", { type: "button", class: "button", onclick: () => putBack(link, before).catch(toastError), "aria-label": `Put this back: the link as it was before ${moment(entry.at)}` }, "Put this back")
    : null;
  return h("li", {}, h("div", { class: "line" }, h("b", {}, ACTIONS[entry.action] ?? entry.action),
    h("span", { class: "small", title: moment(entry.at) }, ago(entry.at)), entry.token ? h("span", { class: "small" }, `by ${entry.token}`) : null),
  changes.length > 0 ? h("dl", {}, changes) : null, back);
}
