// A list that is read page by page as its end comes into sight. It must not know what its rows are.

import { get } from "./api.js";
import { h, show } from "./dom.js";

/**
 * Makes a list. `read` begins it anew at an address; `end` stands below its rows.
 * @param {{ rel?: "next" | "prev", signal: AbortSignal, draw: (rows: any[], isFirst: boolean, headers: Headers) => void }} options `prev` walks from the end of the list to its start
 */
export function endless({ rel = "next", signal, draw }) {
  const end = h("div", { class: "more", role: "status" });
  /** @type {string | null} */
  let next = null;
  let reading = new AbortController();
  const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && follow(), { rootMargin: "600px" });
  signal.addEventListener("abort", () => {
    observer.disconnect();
    reading.abort();
  });

  /** @param {string} address */
  async function read(address) {
    reading.abort();
    reading = new AbortController();
    await add(address, true, reading.signal);
  }

  async function follow() {
    if (!next) return;
    const address = next;
    next = null;
    try {
      await add(address, false, reading.signal);
    } catch (error) {
      if (reading.signal.aborted || error.status === 401) return;
      const retry = () => {
        next = address;
        follow();
      };
      show(end, h("span", {}, error.message), " ", h("button", { type: "button", class: "button", onclick: retry }, "Try again"));
    }
  }

  /** @param {string} address @param {boolean} isFirst @param {AbortSignal} stop */
  async function add(address, isFirst, stop) {
    const { data, headers } = await get(address, stop);
    stop.throwIfAborted();
    next = neighbour(headers, rel);
    draw(rel === "prev" ? data.reverse() : data, isFirst, headers);
    show(end, next ? "Loading more" : "");
    observer.unobserve(end);
    if (next) observer.observe(end);
  }

  return { end, read };
}

/** Returns the address of a neighbouring page, or null. @param {Headers} headers @param {"next" | "prev"} rel */
export function neighbour(headers, rel) {
  const links = (headers.get("link") ?? "").matchAll(/<([^>]+)>; rel="(\w+)"/g);
  return [...links].find((link) => link[2] === rel)?.[1] ?? null;
}

/** The shape of what comes, while it is read. */
export function skeleton() {
  return h("div", { class: "skeleton", "aria-hidden": "true" }, [1, 2, 3, 4, 5, 6].map(() => h("i")));
}
