// Maps addresses below /admin/ to screens, and moves between them. It must not know what a screen shows.

/**
 * @typedef {object} Place
 * @property {string} screen the first part of the path, `links` at the start
 * @property {string | null} item the second part
 * @property {URLSearchParams} query
 */

/**
 * A screen draws itself into an element. The signal is aborted when the user leaves it.
 * @typedef {(main: HTMLElement, place: Place, signal: AbortSignal) => void | Promise<void>} Screen
 */

/** @type {{ run: (place: Place) => void }} */
const listener = { run: () => {} };

/** @returns {Place} */
export function place() {
  const [, , screen, item] = location.pathname.split("/");
  return { screen: screen || "links", item: item || null, query: new URLSearchParams(location.search) };
}

/** Goes to an address of the dashboard. @param {string} address */
export function go(address) {
  if (address === location.pathname + location.search) return;
  history.pushState(null, "", address);
  listener.run(place());
}

/** Replaces the query of the address, without leaving the screen. @param {URLSearchParams} query */
export function setQuery(query) {
  const text = query.toString();
  history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
}

/** Draws the present screen again. */
export function reload() {
  listener.run(place());
}

/** Starts to follow addresses. @param {(place: Place) => void} run */
export function start(run) {
  listener.run = run;
  addEventListener("popstate", () => run(place()));
  document.addEventListener("click", (event) => {
    const link = /** @type {HTMLElement} */ (event.target).closest?.("a[href^='/admin']");
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!(link instanceof HTMLAnchorElement) || !isPlain || link.hasAttribute("download")) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
