// Puts links back as they were before a change, for the audit and the history of a link. It must not draw anything.

import { change } from "./api.js";
import { changeLink, deleteLinks } from "./link-actions.js";
import { toast, toastError } from "./toast.js";

/** @typedef {import("./types.js").Link} Link */

/** The fields that can be put back, by their names for people. @type {Record<string, string>} */
export const FIELDS = {
  original_url: "Target", title: "Title", is_active: "Active", tags: "Tags", starts_at: "Start", expires_at: "End", expired_url: "Target after the end",
  redirect_status: "Status", forward_query: "Query to the target", max_clicks: "Most clicks", rules: "Rules", split: "Split", notes: "Notes", external_id: "Name elsewhere",
};

export const ACTIONS = { created: "Made", updated: "Changed", deleted: "Deleted" };

/** @param {any} source */
const fieldsOf = (source) => Object.fromEntries(Object.keys(FIELDS).map((name) => [name, source[name] ?? null]));

/** Returns whether a link has all fields of another state. @param {any} one @param {any} other */
export function isAlike(one, other) {
  return JSON.stringify(fieldsOf(one)) === JSON.stringify(fieldsOf(other));
}

/** Gives a link the fields of an earlier state, with the way back. @param {Link} present @param {any} before @param {() => any} [done] */
export async function putBack(present, before, done = () => {}) {
  try {
    const saved = await changeLink(present, fieldsOf(before));
    const undo = () => changeLink(saved, fieldsOf(present)).then(done).catch(toastError);
    toast(`Put ${saved.short_code} back`, { actions: [["Undo", undo]] });
  } catch (error) {
    throw error.status === 412 ? new Error("The link was changed meanwhile. Load the page again to see the change.") : error;
  }
}

/** Makes a deleted link again under its code. @param {any} before */
export async function makeAgain(before) {
  const hasEnded = before.expires_at !== null && new Date(`${before.expires_at}Z`).getTime() <= Date.now();
  // The API makes no link that has ended, but it lets one end.
  const { data: made } = await change("POST", "/urls", hasEnded ? { ...before, expires_at: null, is_active: false } : before);
  const { data } = hasEnded ? await change("PUT", `/urls/${made.id}`, before) : { data: made };
  toast(`Made ${data.short_code} again, without its old clicks`, { actions: [["Undo", () => deleteLinks([data])]] });
}
