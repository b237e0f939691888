// The state of the installation, for admins: what is wrong, redirectors, database and bus. It must not change anything.

import { get } from "./api.js";
import { h, show } from "./dom.js";
import { skeleton } from "./endless.js";
import { count, plural } from "./format.js";
import { icon } from "./icons.js";

/** The pause between two reads, in milliseconds. Redirectors report themselves every second. */
const EVERY = 3000;

/** The age of a report, in seconds, from which its redirector is silent. */
const SILENT = 3;

/** @type {import("./router.js").Screen} */
export async function systemScreen(main, _place, signal) {
  const state = h("section", { class: "panel", "aria-label": "State", role: "status" }, skeleton());
  const redirectors = h("section", { class: "panel" });
  const services = h("div", { class: "panels two loose" });
  const version = h("span", { class: "muted" });
  show(main, h("div", { class: "head" }, h("h1", {}, "System"), version), state, redirectors, services);
  redirectors.hidden = true;
  let shown = "";
  for (;;) {
    const { data } = await get("/system", signal);
    show(version, `Tern ${data.version}`);
    // A screen reader would read an unchanged state again.
    const text = JSON.stringify(data.problems);
    if (text !== shown) drawProblems(state, data.problems);
    shown = text;
    redirectors.hidden = false;
    drawRedirectors(redirectors, data.redirectors);
    drawServices(services, data);
    await untilNext(signal);
  }
}

/** Waits for the next read; a tab that nobody sees waits until it is seen. @param {AbortSignal} signal */
async function untilNext(signal) {
  do await new Promise((resolve) => setTimeout(resolve, EVERY));
  while (document.hidden && !signal.aborted);
  signal.throwIfAborted();
}

/** @param {Element} place @param {{ message: string, runbook: string }[]} problems */
function drawProblems(place, problems) {
  place.classList.toggle("bad", problems.length > 0);
  if (problems.length === 0) return show(place, h("p", { class: "line well" }, icon("check"), "Everything works."));
  show(place, h("h2", {}, plural(problems.length, "problem", "problems")), h("ul", { class: "problems" }, problems.map(({ message, runbook }) =>
    h("li", {}, h("p", {}, `${message}.`), h("p", { class: "small" }, "What to do: ", h("code", {}, runbook))))));
}

/** @param {Element} place @param {any[]} redirectors */
function drawRedirectors(place, redirectors) {
  const head = ["Redirector", "Version", "Links", "Staleness", "Clicks waiting", "Lost clicks"];
  const seconds = (/** @type {number | null} */ value) => (value === null ? "not loaded" : value < 10 ? `${value.toFixed(1)} s` : `${count(Math.round(value))} s`);
  const row = (/** @type {any} */ it) => {
    const isSilent = it.reported_seconds_ago >= SILENT;
    return h("tr", { class: isSilent ? "silent" : null }, h("th", { scope: "row" }, h("span", { class: "mono" }, it.address), h("small", {}, it.host, isSilent ? h("span", { class: "error" }, ` · silent for ${Math.round(it.reported_seconds_ago)} s`) : null)),
      cell(head[1], it.version), cell(head[2], count(it.links)), cell(head[3], seconds(it.staleness_seconds)),
      cell(head[4], it.clicks_waiting > 0 ? `${count(it.clicks_waiting)}, ${seconds(it.oldest_click_seconds)}` : "none"), cell(head[5], it.clicks_dropped > 0 ? h("span", { class: "error" }, count(it.clicks_dropped)) : "none"));
  };
  show(place, h("h2", {}, plural(redirectors.length, "redirector", "redirectors")), redirectors.length === 0 ? h("p", { class: "muted" }, "None has reported itself yet. Each does every second.")
    : h("table", { class: "stacked" }, h("caption", { class: "visually-hidden" }, "Redirectors"), h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, redirectors.map(row))));
}

/** A cell that shows the name of its column where the table is narrow. @param {string} label @param {any} value */
function cell(label, value) {
  return h("td", { "data-label": label }, value);
}

/** @param {Element} place @param {any} data */
function drawServices(place, { store, bus }) {
  const facts = (/** @type {any} */ it) => h("dl", { class: "facts" }, h("dt", {}, "Kind"), h("dd", {}, it.kind),
    h("dt", {}, "Answers"), h("dd", {}, it.is_available ? (it.answered_in_ms < 0.1 ? "at once" : `in ${it.answered_in_ms.toFixed(1)} ms`) : h("span", { class: "error" }, "not")));
  show(place, h("section", { class: "panel" }, h("h2", {}, "Database"), facts(store), h("table", { class: "pools" }, h("caption", { class: "small" }, "Connections of this process"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "For"), ["In use", "Most", "Waiting"].map((name) => h("th", { scope: "col", class: "number" }, name)))),
    h("tbody", {}, store.pools.map((/** @type {any} */ pool) => h("tr", {}, h("th", { scope: "row" }, pool.name), [pool.in_use, pool.most, pool.waiting].map((value) => h("td", { class: "number" }, count(value)))))))),
  h("section", { class: "panel" }, h("h2", {}, "Bus"), facts(bus), h("p", { class: "muted small" }, bus.kind === "in process"
    ? "One process serves everything, so nothing else is needed." : "It carries hints: without it, changes take up to a second.")));
}
