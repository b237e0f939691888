// Speaks with the API: the session, errors, and waiting for an API that is away. It must not touch the page.

/** @typedef {{ status: number, headers: Headers, data: any }} Answer */

const HALF = "tern-session";

/** The pauses between attempts to read while the API is away, in milliseconds. */
const PAUSES = [500, 1000, 2000, 4000, 8000];

/** Statuses of a proxy without an API behind it, and of an API without its database. */
const AWAY = [502, 503, 504];

/** A small list, which an API without its database does not answer. */
const PROBE = "/urls?per_page=1";

/** Events for the rest of the page: `away` with the reason or null, and `unauthorized`. */
export const signals = new EventTarget();

/** @type {string | null} */
let reasonAway = null;
let isProbing = false;

/** An answer that reports an error. Status 0 is no answer. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {any} [data] */
  constructor(status, message, data) {
    super(message);
    this.status = status;
    this.data = data;
  }
}

/** @returns {string | null} */
export function half() {
  return localStorage.getItem(HALF);
}

/** @param {string | null} value */
export function setHalf(value) {
  if (value === null) localStorage.removeItem(HALF);
  else localStorage.setItem(HALF, value);
}

/** Returns whether a storage event ended or replaced the session in another tab. @param {StorageEvent} event */
export function isSessionChange(event) {
  return event.key === HALF || event.key === null;
}

/** @param {string | null} reason */
function setAway(reason) {
  if (reason === reasonAway) return;
  reasonAway = reason;
  signals.dispatchEvent(new CustomEvent("away", { detail: reason }));
}

/** Notes that the API is away, by its own message if it answers at all. @param {Response} [response] */
async function noteAway(response) {
  const data = await response?.json().catch(() => null);
  setAway(data?.message ?? "Tern does not answer");
}

/** Waits beside the page until the API answers again, since no request may be waiting for it. */
async function probe() {
  if (isProbing) return;
  isProbing = true;
  // An error is an answer, too.
  await get(PROBE).catch(() => setAway(null));
  isProbing = false;
}

/**
 * Sends one request.
 * @param {string} method
 * @param {string} path
 * @param {{ body?: any, headers?: Record<string, string>, signal?: AbortSignal, keepalive?: boolean }} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, path, { body, headers = {}, signal, keepalive } = {}) {
  const session = half();
  const sent = { accept: "application/json", ...headers };
  if (session) sent[HALF] = session;
  // The browser names the boundary of a form itself.
  const isForm = body instanceof FormData;
  if (body !== undefined && !isForm) sent["content-type"] = "application/json";
  const content = body === undefined || isForm ? body : JSON.stringify(body);
  return fetch(path, { method, headers: sent, body: content, signal, keepalive, cache: "no-store" });
}

/** @param {Response} response @returns {Promise<Answer>} */
async function read(response) {
  const isJson = response.headers.get("content-type")?.includes("json");
  const data = isJson ? await response.json() : null;
  if (response.ok) return { status: response.status, headers: response.headers, data };
  if (response.status === 401) signals.dispatchEvent(new Event("unauthorized"));
  throw new ApiError(response.status, data?.message ?? `The API answered ${response.status}.`, data);
}

/** @param {string} method @param {string} path @param {Parameters<typeof send>[2]} [options] */
async function once(method, path, options) {
  try {
    return await send(method, path, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    await noteAway();
    throw new ApiError(0, "Tern cannot be reached. Nothing was changed; try again in a moment.");
  }
}

/**
 * Reads from the API. While it is away, this waits and tries again until it answers.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer>}
 */
export async function get(path, signal) {
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    try {
      const response = await once("GET", path, { signal });
      if (!AWAY.includes(response.status)) {
        setAway(null);
        return await read(response);
      }
      await noteAway(response);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 0) throw error;
    }
    await pause(PAUSES[Math.min(attempt, PAUSES.length - 1)], signal);
  }
}

/**
 * Changes something. An API that is away is an error, since the change may have been made.
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 * @param {{ headers?: Record<string, string>, keepalive?: boolean }} [options]
 * @returns {Promise<Answer>}
 */
export async function change(method, path, body, options = {}) {
  const response = await once(method, path, { body, ...options }).catch((error) => {
    void probe();
    throw error;
  });
  // An API that is only busy says when to try again.
  if (AWAY.includes(response.status) && !response.headers.has("retry-after")) {
    await noteAway(response.clone());
    void probe();
  }
  const answer = await read(response);
  setAway(null);
  return answer;
}

/** @param {number} wait @param {AbortSignal} [signal] */
function pause(wait, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, wait);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Returns the address of the next page of a list, or null. @param {Headers} headers */
export function nextPage(headers) {
  return /<([^>]+)>; rel="next"/.exec(headers.get("link") ?? "")?.[1] ?? null;
}
