// What an import would do or did, as tables. It must not ask the API.

import { h } from "./dom.js";
import { count, plural } from "./format.js";

/** @typedef {{ row: number, outcome: string, short_code: string | null, reason: string | null }} Row */

/** The outcomes in the order of the figures. */
const OUTCOMES = ["created", "renamed", "overwritten", "skipped", "invalid"];

/** The most rows of the table, so that it is drawn within a moment. */
const SHOWN = 200;

/** Draws what would become of the rows. @param {any} trial @param {() => void} run */
export function drawTrial(trial, run) {
  const links = trial.counts.created + trial.counts.renamed + trial.counts.overwritten;
  const [kind, by] = trial.recognised.split(", by ");
  return [
    h("div", {}, h("h2", {}, `This is ${kind}.`), by ? h("p", { class: "muted small" }, `Recognised by ${by}`) : null),
    sample(trial.sample),
    figures(trial.counts, "would be "),
    dropped(trial.dropped),
    links > 0
      ? h("p", {}, h("button", { type: "button", class: "button primary", onclick: run }, `Import ${plural(links, "link", "links")}`))
      : h("p", { class: "note" }, "No row of this file would be written."),
    outcomes(trial.rows),
  ];
}

/** Draws what became of the rows. @param {any} imported @param {() => void} undo */
export function drawResult(imported, undo) {
  const links = imported.counts.created + imported.counts.renamed + imported.counts.overwritten;
  return [
    h("h2", { tabindex: "-1" }, `${plural(links, "link is", "links are")} imported.`),
    figures(imported.counts, ""),
    dropped(imported.dropped),
    imported.tag ? h("p", {}, h("a", { class: "button primary", href: `/admin/?${new URLSearchParams({ tag: imported.tag })}` }, "Show the links"), " ",
      h("button", { type: "button", class: "button", onclick: undo }, "Undo the import")) : null,
    imported.tag ? h("p", { class: "muted" }, "Each of them has the tag ", h("span", { class: "mono" }, imported.tag), ".") : null,
    outcomes(imported.rows),
  ];
}

/** @param {any} counts @param {string} would */
function figures(counts, would) {
  const shown = OUTCOMES.filter((name) => counts[name] > 0 || name === "created");
  return h("dl", { class: "figures" }, shown.map((name) => h("div", {}, h("dt", {}, would + name), h("dd", {}, count(counts[name])))),
    counts.clicks > 0 ? h("div", {}, h("dt", {}, "clicks as events"), h("dd", {}, count(counts.clicks))) : null);
}

/** @param {string[]} names */
function dropped(names) {
  return names.length ? h("p", { class: "note" }, `Tern has no place for these fields, so they are left out: ${names.join(", ")}.`) : null;
}

/** Shows how the first links are read. @param {any[]} links */
function sample(links) {
  const rows = links.map((link) => h("tr", {}, h("td", { class: "mono" }, link.short_code ?? "a new code"), h("td", {}, link.original_url),
    h("td", {}, link.title ?? ""), h("td", {}, link.tags.join(", ")), h("td", { class: "number" }, count(link.imported_clicks)),
    h("td", {}, link.is_active ? "on" : "off")));
  const heads = ["Code", "Target", "Title", "Tags", "Clicks so far", "State"].map((name) => h("th", { scope: "col", class: name.startsWith("Clicks") ? "number" : null }, name));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The first rows, as Tern reads them" },
    h("table", { class: "import-rows" }, h("caption", { class: "muted" }, "The first rows, as Tern reads them"), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows)));
}

/** Lists the rows; those that are not simply created come first. @param {Row[]} rows */
function outcomes(rows) {
  const plain = (/** @type {Row} */ row) => Number(row.outcome === "created" && !row.reason);
  const sorted = rows.toSorted((a, b) => plain(a) - plain(b)).slice(0, SHOWN);
  const lines = sorted.map(({ row, outcome, short_code: code, reason }) => h("tr", {}, h("td", { class: "number" }, row),
    h("td", {}, h("span", { class: `outcome ${outcome}` }, outcome)), h("td", { class: "mono" }, code ?? ""), h("td", {}, reason ?? "")));
  const heads = ["Row", "Outcome", "Code", "Reason"].map((name) => h("th", { scope: "col", class: name === "Row" ? "number" : null }, name));
  const title = rows.length > SHOWN ? `The outcomes of ${SHOWN} of the first rows; those with a reason come first` : "The outcome of each row";
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Outcomes" },
    h("table", { class: "import-rows" }, h("caption", { class: "muted" }, title), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, lines)));
}
