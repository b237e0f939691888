// The user to whom new links belong. It must not create links.

import { change, get } from "./api.js";
import { access } from "./session.js";

const OWNER = "tern-owner";

/** The search for an owner that is in progress, so that two links at once do not create two users. @type {Promise<number> | null} */
let search = null;

/** Returns the owner of new links; undefined if the token has one. @returns {Promise<number | undefined>} */
export async function findOwner() {
  if (access().user_id !== null) return undefined;
  const chosen = Number(localStorage.getItem(OWNER));
  if (chosen > 0) return chosen;
  search ??= firstUser().finally(() => (search = null));
  return search;
}

/** Returns the first user, who is created if there is none. @returns {Promise<number>} */
async function firstUser() {
  const [first] = (await get("/users?per_page=1")).data;
  const owner = first ?? (await change("POST", "/users", { username: "dashboard", email: "dashboard@tern.invalid" })).data;
  rememberOwner(owner.id);
  return owner.id;
}

/** Returns the owner that was chosen before, or null. @returns {number | null} */
export function rememberedOwner() {
  return Number(localStorage.getItem(OWNER)) || null;
}

/** @param {number} id */
export function rememberOwner(id) {
  localStorage.setItem(OWNER, String(id));
}

export function forgetOwner() {
  localStorage.removeItem(OWNER);
}
