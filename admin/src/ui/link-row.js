// One row of the list of links. It must not fetch or change anything itself.

import { menuButton } from "./dialog.js";
import { h, show } from "./dom.js";
import { ago, moment, shortCount, splitTarget } from "./format.js";
import { icon } from "./icons.js";

/** @typedef {import("./types.js").Link} Link */

const STATES = { inactive: "Off", scheduled: "Scheduled", expired: "Expired", exhausted: "Used up", active: "Active" };

/** The state of a link in words. @param {Link} link */
export function stateBadge(link) {
  const at = { scheduled: link.starts_at, expired: link.expires_at }[link.state];
  return h("span", { class: `state ${link.state}`, title: at ? moment(at) : null }, STATES[link.state] ?? link.state);
}

/** The code of a link; a click copies its address. @param {Link} link @param {(link: Link) => Promise<boolean>} copy */
export function codeButton(link, copy) {
  const image = h("span", { "aria-hidden": "true" }, icon("copy"));
  const button = h("button", { type: "button", class: "code", title: link.short_url, "aria-label": `Copy ${link.short_url}` },
    h("span", {}, link.short_code), image);
  button.addEventListener("click", async () => {
    if (!(await copy(link))) return;
    button.classList.add("done");
    show(image, icon("check"));
    setTimeout(() => {
      button.classList.remove("done");
      show(image, icon("copy"));
    }, 1500);
  });
  return button;
}

/** A target with its host plain to see. @param {string} target */
export function targetText(target) {
  const { host, rest } = splitTarget(target);
  return [h("b", {}, host), rest === "/" ? "" : rest];
}

/**
 * @typedef {object} RowActions
 * @property {(link: Link) => Promise<boolean>} copy
 * @property {(link: Link) => void} edit
 * @property {(tag: string) => void} filterTag
 * @property {(link: Link, isPicked: boolean, event: MouseEvent) => void} pick
 * @property {(link: Link) => any[]} menu
 * @property {(link: Link) => Element} spark
 * @property {boolean} mayWrite
 */

/** @param {Link} link @param {boolean} isPicked @param {RowActions} actions @returns {HTMLTableRowElement} */
export function linkRow(link, isPicked, actions) {
  const pick = h("input", { type: "checkbox", "aria-label": `Select ${link.short_code}`, onclick: (event) => actions.pick(link, pick.checked, event) });
  pick.checked = isPicked;
  const page = `/admin/links/${link.id}`;
  return h("tr", { "data-id": link.id, "aria-selected": String(isPicked) },
    h("td", { class: "pick" }, h("label", {}, pick)),
    h("td", { class: "link" },
      h("div", { class: "line" }, codeButton(link, actions.copy),
        link.title ? h("a", { class: "title", href: page, title: link.title }, link.title) : null,
        link.state === "active" ? null : stateBadge(link)),
      h("a", { class: "target", href: page, title: link.original_url, "aria-label": `Open ${link.short_code}, which leads to ${link.original_url}` },
        targetText(link.original_url))),
    h("td", { class: "tags" }, h("div", {}, link.tags.map((tag) =>
      h("button", { type: "button", class: "chip", title: `Only links with the tag ${tag}`, onclick: () => actions.filterTag(tag) }, tag)))),
    h("td", { class: "spark" }, actions.spark(link)),
    h("td", { class: "clicks number" }, h("strong", { title: String(link.clicks) }, shortCount(link.clicks)),
      h("small", { title: link.last_clicked_at ? moment(link.last_clicked_at) : null }, link.last_clicked_at ? ago(link.last_clicked_at, true) : "never")),
    h("td", { class: "menu" },
      actions.mayWrite ? h("button", { type: "button", class: "quiet row-edit", "aria-label": `Edit ${link.short_code}`, title: "Edit (e)", onclick: () => actions.edit(link) }, icon("edit")) : null,
      menuButton({ class: "quiet", "aria-label": `More for ${link.short_code}` }, icon("more"), () => actions.menu(link))));
}
