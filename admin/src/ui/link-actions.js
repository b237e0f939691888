// What can be done with links, and the news of it for every screen. It must not draw a screen.

import { ApiError, change } from "./api.js";
import { copy } from "./clipboard.js";
import { plural } from "./format.js";
import { findOwner, forgetOwner } from "./owner.js";
import { toast, toastError } from "./toast.js";

/** @typedef {import("./types.js").Link} Link */

/** The time in which a deletion can be undone, in seconds. */
const UNDO_SECONDS = 10;

/** News of links: `created`, `changed` with a link, and `hidden`, `shown` with ids. */
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
    actions: [["Undo", () => remove([link])], ["Edit", () => edit(link)]],
  });
  return link;
}

/** Copies the address of a link. @param {Link} link */
export async function copyLink(link) {
  const isCopied = await copy(link.short_url);
  toast(isCopied ? `Copied ${link.short_url}` : `Copy it yourself: ${link.short_url}`, { seconds: 4 });
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
  const changed = await changeAll(links, { is_active: isActive });
  if (changed.length === 0) return;
  const what = changed.length === 1 ? changed[0].short_code : plural(changed.length, "link", "links");
  toast(isActive ? `Switched ${what} on` : `Switched ${what} off`, { actions: [["Undo", () => changeAll(changed, { is_active: !isActive })]] });
}

/** Makes the same change to several links; returns those that changed. @param {Link[]} links @param {Record<string, any>} fields */
export async function changeAll(links, fields) {
  const changed = [];
  for (const link of links) {
    try {
      const { data } = await change("PATCH", `/urls/${link.id}`, fields);
      tell("changed", data);
      changed.push(data);
    } catch (error) {
      toastError(new Error(`${link.short_code}: ${error.message}`));
      if (error.status === 0 || error.status === 401) break;
    }
  }
  return changed;
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
  const failed = [];
  tell("hidden", links.map((link) => link.id));
  for (const link of links) {
    try {
      await change("DELETE", `/urls/${link.id}`);
      leaving.delete(link.id);
    } catch (error) {
      if (error.status === 404) leaving.delete(link.id);
      else failed.push([link.id, error]);
    }
  }
  if (failed.length > 0) {
    keep(failed.map(([id]) => id));
    toastError(failed[0][1]);
  }
}

// A page that is closed does not wait any longer.
addEventListener("pagehide", () => {
  for (const link of leaving.values()) change("DELETE", `/urls/${link.id}`, undefined, { keepalive: true }).catch(() => {});
});
