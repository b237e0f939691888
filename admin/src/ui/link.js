// The page of one link: where it leads, its figures and its statistics. It must not change the link itself.

import { get } from "./api.js";
import { debounce, h, show } from "./dom.js";
import { openEditor } from "./editor.js";
import { exportButton } from "./export.js";
import { ago, count, moment } from "./format.js";
import { icon } from "./icons.js";
import { addKeys } from "./keys.js";
import { copyLink, deleteLinks, news, switchLinks } from "./link-actions.js";
import { drawHistory } from "./link-history.js";
import { drawRouting } from "./link-routing.js";
import { codeButton, stateBadge, targetText } from "./link-row.js";
import { followClicks } from "./live.js";
import { openQr } from "./qr.js";
import { go, place as presentPlace, setQuery } from "./router.js";
import { mayWrite } from "./session.js";
import { drawStatistics } from "./statistics.js";

/** @typedef {import("./types.js").Link} Link */

/** @type {import("./router.js").Screen} */
export async function linkScreen(main, place, signal) {
  const { data } = await get(`/urls/${encodeURIComponent(place.item ?? "")}`, signal);
  /** @type {Link} */
  let link = data;
  const head = h("div", { class: "head" });
  const facts = h("section", { class: "panel" });
  const routing = h("section", { class: "panel routing", hidden: true });
  /** @type {any[] | null} */
  let targets = null;
  const statistics = h("div", { class: "statistics" });
  const history = h("section", { class: "panel wide-panel" });
  const live = h("section", { class: "panel" });
  const exported = exportButton("/events/export", () => new URLSearchParams({ url_id: String(link.id), event_type: "clicked" }), "clicks");
  show(main, h("nav", { class: "crumbs", "aria-label": "Place" }, h("a", { href: "/admin/", class: "line" }, icon("back"), "All links")), head, routing, statistics, h("div", { class: "panels link-panels" }, live, facts, history));
  drawLink();
  news.addEventListener("changed", (event) => {
    const changed = /** @type {CustomEvent} */ (event).detail;
    if (changed.id !== link.id) return;
    link = changed;
    drawLink();
    drawHistory(history, link, signal);
  }, { signal });
  news.addEventListener("shown", (event) => {
    if (/** @type {CustomEvent} */ (event).detail.includes(link.id)) go(`/admin/links/${link.id}`);
  }, { signal });
  addKeys([
    { key: "c", label: "Copy the link", run: () => copyLink(link) },
    { key: "q", label: "QR code of the link", run: () => openQr(link) },
    ...(mayWrite() ? [{ key: "e", label: "Edit the link", run: (/** @type {KeyboardEvent} */ event) => { event.preventDefault(); openEditor(link); } },
      { key: "Delete", label: "Delete the link", run: remove }] : []),
  ], signal);
  drawHistory(history, link, signal);
  const shown = await drawStatistics(statistics, link, {
    query: () => presentPlace().query, setQuery,
    answered: (answer) => {
      targets = answer.targets;
      drawRouting(routing, link, targets);
    },
  }, signal);
  // A burst of clicks draws the figures once.
  followClicks(live, link.id, debounce(shown.draw, 500), signal);

  function remove() {
    deleteLinks([link]);
    go("/admin/");
  }

  function drawLink() {
    drawRouting(routing, link, targets);
    document.title = `${link.title ?? link.short_code} · Tern`;
    const button = (/** @type {any} */ image, /** @type {string} */ label, /** @type {() => void} */ act, className = "button") =>
      h("button", { type: "button", class: className, onclick: act }, icon(image), label);
    show(head, h("div", {}, h("div", { class: "line" }, h("h1", {}, codeButton(link, copyLink)), stateBadge(link)),
      link.title ? h("p", { class: "title" }, link.title) : null,
      h("a", { class: "target", href: link.original_url, rel: "noopener noreferrer", target: "_blank", title: link.original_url }, targetText(link.original_url))),
    h("div", { class: "actions" }, button("qr", "QR code", () => openQr(link)), mayWrite() ? [
      button("edit", "Edit", () => openEditor(link)), button("power", link.is_active ? "Switch off" : "Switch on", () => switchLinks([link], !link.is_active)),
      button("trash", "Delete", remove, "button danger")] : null));
    const fact = (/** @type {string} */ name, /** @type {any} */ value) => (value ? [h("dt", {}, name), h("dd", {}, value)] : []);
    const at = (/** @type {string | null} */ time) => (time ? h("span", { title: ago(time) }, moment(time)) : null);
    show(facts, h("h2", {}, "About this link"), h("dl", { class: "facts" },
      fact("Made", at(link.created_at)), fact("Changed", link.revision > 1 ? at(link.updated_at) : null), fact("Last click", at(link.last_clicked_at)),
      fact("Clicks before the import", link.imported_clicks > 0 ? count(link.imported_clicks) : null),
      fact("Clicks left", !link.max_clicks ? null : `${count(link.clicks_left ?? 0)} of ${count(link.max_clicks)}`),
      fact("Start", at(link.starts_at)), fact("End", at(link.expires_at)), fact("After the end", link.expired_url),
      fact("Status", link.redirect_status), fact("Query", link.forward_query === null ? null : link.forward_query ? "added to the target" : "ignored"),
      fact("Tags", link.tags.length > 0 ? h("span", { class: "presets" }, link.tags.map((tag) => h("a", { class: "chip", href: `/admin/?tag=${encodeURIComponent(tag)}` }, tag))) : null),
      fact("Notes", link.notes), fact("Name elsewhere", link.external_id), fact("Owner", h("a", { href: `/admin/?user_id=${link.user_id}` }, `user ${link.user_id}`))), exported);
  }
}
