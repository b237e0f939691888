// The export of a whole list, which the API writes and the browser saves. It must not read the rows itself.

import { ApiError, send } from "./api.js";
import { menuButton } from "./dialog.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { toast, toastError } from "./toast.js";

/** The formats of the API. @type {[string, string][]} */
const FORMATS = [
  ["CSV for a spreadsheet", "format=csv&spreadsheet=true"], ["CSV for Tern and programs", "format=csv"], ["JSON", "format=json"], ["NDJSON, an object a line", "format=ndjson"],
];

/** An answer whose length takes longer than this to arrive is worth a message, in milliseconds. */
const PATIENCE = 700;

/**
 * A button that saves everything that the filters of a view match.
 * @param {string} path of the export @param {() => URLSearchParams} filters @param {string} name what is exported, for its label
 */
export function exportButton(path, filters, name) {
  return menuButton({ class: "button", "aria-label": `Export ${name}` }, [icon("download"), h("span", {}, "Export")], () =>
    FORMATS.map(([label, format]) => [icon("download"), label, () => save(`${path}?${join(filters(), format)}`, name)]));
}

/** @param {URLSearchParams} filters @param {string} format */
function join(filters, format) {
  const query = filters.toString();
  return query ? `${query}&${format}` : format;
}

/**
 * Saves an answer of the API as a file. One that ends early is not saved.
 * @param {string} address @param {string} name
 */
async function save(address, name) {
  const stop = new AbortController();
  let close = () => {};
  const wait = setTimeout(() => {
    close = toast(`Exporting ${name}`, { seconds: 3600, actions: [["Stop", () => stop.abort()]] });
  }, PATIENCE);
  try {
    const response = await send("GET", address, { headers: { accept: "*/*" }, signal: stop.signal });
    if (!response.ok) throw new ApiError(response.status, (await response.json().catch(() => null))?.message ?? `The API answered ${response.status}.`);
    // The browser moves a large answer to its disk.
    const url = URL.createObjectURL(await response.blob());
    const file = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? name;
    h("a", { href: url, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    close();
    toast(`Saved ${file}`);
  } catch (error) {
    close();
    if (stop.signal.aborted) return;
    toastError(error instanceof ApiError ? error : new Error(`The export of ${name} ended early, so nothing was saved. Try it again.`));
  } finally {
    clearTimeout(wait);
  }
}
