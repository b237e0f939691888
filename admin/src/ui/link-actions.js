// What can be done with links, and the news of it for every screen. It must not draw a screen.

import { ApiError, change } from "./api.js";
import { copy } from "./clipboard.js";
import { plural } from "./format.js";
import { findOwner, forgetOwner } from "./owner.js";
import { toast, toastError } from "./toast.js";

/** @typedef {import("./types.js").Link} Link */

/** The time in which a deletion can be undone, in seconds. */
const UNDO_SECONDS = 10;

/** The links that one request may change. */
const MOST_AT_ONCE = 10_000;

/** News of links: `created`, `changed` with a link, and `stale` (to be read again), `hidden`, `shown` with ids. */
export const news = new EventTarget();

/** Links that are about to be deleted, by id. @type {Map<number, Link>} */
const leaving = new Map();

/** @param {number} id */
export function isLeaving(id) {
  return leaving.has(id);
}

/** @param {string} name @param {any} detail */
function tell(name, detail) {
  news.dispatchEvent(new CustomEvent(name, { detail }));
}

/** Creates a link of the chosen owner. @param {Record<string, any>} fields @returns {Promise<Link>} */
export async function createLink(fields) {
  const owner = fields.user_id ?? (await findOwner());
  try {
    const { data } = await change("POST", "/urls", { ...fields, user_id: owner });
    tell("created", data);
    return data;
  } catch (error) {
    // The remembered owner may have been deleted.
    if (error instanceof ApiError && error.status === 404) forgetOwner();
    throw error;
  }
}

/** Makes a link to a target, and puts it on the clipboard. @param {string} target @param {(link: Link) => void} edit */
export async function shorten(target, edit) {
  const link = await createLink({ original_url: target });
  const isCopied = await copy(link.short_url);
  toast(isCopied ? `Copied ${link.short_url}` : `Made ${link.short_url}`, {
    replaces: "made",
    actions: [["Undo", () => remove([link])], ["Edit", () => edit(link)]],
  });
  return link;
}

/** Copies the address of a link. @param {Link} link */
export async function copyLink(link) {
  const isCopied = await copy(link.short_url);
  toast(isCopied ? `Copied ${link.short_url}` : `Copy it yourself: ${link.short_url}`, { seconds: 4, replaces: "copied" });
  return isCopied;
}

/**
 * Changes a link if it still has the revision that the user saw.
 * @param {Link} link
 * @param {Record<string, any>} fields
 * @returns {Promise<Link>}
 */
export async function changeLink(link, fields) {
  const { data } = await change("PATCH", `/urls/${link.id}`, fields, { headers: { "if-match": `"${link.revision}"` } });
  tell("changed", data);
  return data;
}

/** Switches links on or off, with the way back. @param {Link[]} links @param {boolean} isActive */
export async function switchLinks(links, isActive) {
  const others = links.filter((link) => link.is_active !== isActive);
  const what = links.length === 1 ? links[0].short_code : plural(links.length, "link", "links");
  if (!(await changeAll(others, { is_active: isActive }))) return;
  toast(isActive ? `Switched ${what} on` : `Switched ${what} off`, { actions: [["Undo", () => changeAll(others, { is_active: !isActive })]] });
}

/** Makes the same change to several links, to all of them or to none. @param {Link[]} links @param {Record<string, any>} fields */
export async function changeMany(links, fields) {
  if (links.length === 1) {
    tell("changed", (await change("PATCH", `/urls/${links[0].id}`, fields)).data);
  } else if (links.length > 1) {
    const ids = links.map((link) => link.id);
    for (const some of slices(ids)) await change("PATCH", "/urls", { ids: some, set: fields });
    tell("stale", ids);
  }
}

/** Makes the same change to several links, or shows why it failed. Returns whether it was made. @param {Link[]} links @param {Record<string, any>} fields */
async function changeAll(links, fields) {
  try {
    await changeMany(links, fields);
    return true;
  } catch (error) {
    toastError(error);
    return false;
  }
}

/** Gives links the values of a field that they had, with one request for each value. @param {Link[]} links @param {string} field */
export async function restoreAll(links, field) {
  /** @type {Map<string, Link[]>} */
  const groups = new Map();
  for (const link of links) {
    const value = JSON.stringify(link[field]);
    groups.set(value, [...(groups.get(value) ?? []), link]);
  }
  for (const group of groups.values()) await changeAll(group, { [field]: group[0][field] });
}

/** Ids in parts that one request may name. @param {number[]} ids */
function slices(ids) {
  return Array.from({ length: Math.ceil(ids.length / MOST_AT_ONCE) }, (_, at) => ids.slice(at * MOST_AT_ONCE, (at + 1) * MOST_AT_ONCE));
}

/** Deletes links after a time in which the user can undo it. @param {Link[]} links */
export function deleteLinks(links) {
  if (links.length === 0) return;
  const ids = links.map((link) => link.id);
  links.forEach((link) => leaving.set(link.id, link));
  tell("hidden", ids);
  const what = links.length === 1 ? links[0].short_code : plural(links.length, "link", "links");
  toast(`Deleting ${what}`, {
    seconds: UNDO_SECONDS,
    actions: [["Undo", () => keep(ids)]],
    onEnd: () => remove(links),
  });
}

/** @param {number[]} ids */
function keep(ids) {
  ids.forEach((id) => leaving.delete(id));
  tell("shown", ids);
}

/** Deletes links now. @param {Link[]} links */
async function remove(links) {
  const ids = links.map((link) => link.id);
  links.forEach((link) => leaving.set(link.id, link));
  tell("hidden", ids);
  const forget = (/** @type {number[]} */ gone) => gone.forEach((id) => leaving.delete(id));
  try {
    for (const some of slices(ids)) {
      if (some.length > 1) await change("DELETE", "/urls", { ids: some });
      else await removeOne(some[0]);
      forget(some);
    }
  } catch (error) {
    // The API deletes many links or none: one that is gone, or has too many events, needs a request of its own.
    const isOneByOne = links.length > 1 && (error.status === 400 || error.status === 404);
    const failed = isOneByOne ? await removeEach(ids.filter(isLeaving)) : error;
    if (!failed) return;
    keep(ids.filter(isLeaving));
    toastError(failed);
  }
}

/** Deletes links with a request for each; returns an error, if there is one. @param {number[]} ids */
async function removeEach(ids) {
  let failure = null;
  for (const id of ids) {
    try {
      await removeOne(id);
      leaving.delete(id);
    } catch (error) {
      failure = error;
    }
  }
  return failure;
}

/** Deletes a link that may be gone already. @param {number} id */
async function removeOne(id) {
  await change("DELETE", `/urls/${id}`).catch((error) => {
    if (error.status !== 404) throw error;
  });
}

// A page that is closed does not wait any longer.
addEventListener("pagehide", () => {
  const ids = [...leaving.keys()];
  if (ids.length > 0) change("DELETE", "/urls", { ids }, { keepalive: true }).catch(() => {});
});
