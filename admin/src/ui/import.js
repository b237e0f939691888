// The import: a file is dropped, tried without writing, imported and undone. It must not read the file itself.

import { change, get } from "./api.js";
import { h, show } from "./dom.js";
import { plural } from "./format.js";
import { icon } from "./icons.js";
import { drawResult, drawTrial } from "./import-result.js";
import { rememberedOwner, rememberOwner } from "./owner.js";
import { access, mayWrite } from "./session.js";
import { toast } from "./toast.js";

/** The services by their words, as the API has them. @type {[string, string][]} */
const SERVICES = [["auto", "Recognise it"], ["bitly", "Bitly"], ["yourls", "YOURLS"], ["kutt", "Kutt"], ["shlink", "Shlink"],
  ["dub", "Dub"], ["chhoto", "chhoto-url"], ["polr", "Polr"], ["rebrandly", "Rebrandly"], ["shortio", "Short.io"], ["sink", "Sink"],
  ["tinyurl", "TinyURL"], ["csv", "A spreadsheet"], ["tern", "Tern"]];

/** @type {[string, string][]} */
const CONFLICTS = [["skip", "Skip the row"], ["rename", "Give the row a new code"], ["overwrite", "Overwrite the link"], ["fail", "Import nothing at all"]];

/** @type {import("./router.js").Screen} */
export async function importScreen(main, _place, signal) {
  if (!mayWrite()) {
    show(main, h("div", { class: "empty" }, h("h2", {}, "Your token may only read"), h("p", { class: "muted" }, "An import needs a token with the role editor.")));
    return;
  }
  const users = access().user_id === null ? (await get("/users?per_page=100", signal)).data : [];
  const error = h("p", { class: "error", role: "alert" });
  const result = h("div", { class: "import-result", "aria-live": "polite" });
  const input = h("input", { type: "file", id: "import-file", class: "visually-hidden", onchange: () => choose(input.files[0]) });
  const drop = h("label", { class: "drop", for: "import-file" }, icon("download"),
    h("b", {}, "Drop the file of the other service here"),
    h("span", { class: "muted" }, "CSV, JSON, SQL or SQLite, as it came, of up to 64 MiB. Nothing is written before you say so."), input);
  const options = form(users, () => file && tryOut());
  /** @type {File | null} */
  let file = null;
  let attempt = 0;

  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    drop.classList.remove("over");
    choose(event.dataTransfer?.files[0]);
  });
  show(main, h("h1", {}, "Import links"), h("div", { class: "import" }, drop, options.element, error, result));

  /** @param {File | undefined} chosen */
  function choose(chosen) {
    if (!chosen) return;
    file = chosen;
    drop.classList.add("chosen");
    show(drop, icon("check"), h("b", {}, chosen.name), h("span", { class: "muted" }, "Choose or drop another file to replace it."), input);
    tryOut();
  }

  /** Asks what would become of the rows. An answer that is overtaken by another attempt is not shown. */
  async function tryOut() {
    const mine = ++attempt;
    show(error);
    show(result, h("p", { class: "muted" }, "Looking at the file…"));
    try {
      const trial = await upload(true);
      if (mine !== attempt || signal.aborted) return;
      show(result, drawTrial(trial, () => run(trial)));
    } catch (failure) {
      if (mine === attempt) fail(failure);
    }
  }

  /** @param {any} trial */
  async function run(trial) {
    const mine = ++attempt;
    const links = trial.counts.created + trial.counts.renamed + trial.counts.overwritten;
    show(error);
    show(result, h("p", { class: "muted" }, `Importing ${plural(links, "link", "links")}…`));
    try {
      const imported = await upload(false);
      if (mine !== attempt || signal.aborted) return;
      show(result, drawResult(imported, () => undo(imported)));
      result.querySelector("h2")?.focus();
    } catch (failure) {
      if (mine === attempt) fail(failure);
    }
  }

  /** @param {any} imported */
  async function undo(imported) {
    show(error);
    try {
      const { data } = await change("DELETE", `/urls/import?${new URLSearchParams({ tag: imported.tag })}`);
      toast(`Undid the import: ${plural(data.deleted, "link", "links")} deleted, ${data.restored} put back`);
      show(result, h("p", {}, "The import is undone. "), data.kept.length
        ? h("ul", {}, data.kept.map((/** @type {any} */ link) => h("li", {}, h("span", { class: "mono" }, link.short_code), ` remains: ${link.reason}`))) : null,
        h("button", { type: "button", class: "button", onclick: tryOut }, "Look at the file again"));
    } catch (failure) {
      show(error, failure.message);
    }
  }

  /** @param {boolean} isDryRun */
  async function upload(isDryRun) {
    const body = new FormData();
    body.append("file", /** @type {File} */ (file));
    const query = options.query();
    if (isDryRun) query.set("dry_run", "true");
    return (await change("POST", `/urls/import?${query}`, body)).data;
  }

  /** @param {Error} failure */
  function fail(failure) {
    show(result);
    show(error, failure.message);
  }
}

/**
 * Builds the options. They apply at once.
 * @param {any[]} users @param {() => void} changed
 */
function form(users, changed) {
  const select = (/** @type {string} */ name, /** @type {string} */ label, /** @type {[string, string][]} */ choices) => {
    const field = h("select", { id: `import-${name}`, name, onchange: changed }, choices.map(([value, text]) => h("option", { value }, text)));
    return { field, element: h("div", { class: "form-field" }, h("label", { for: `import-${name}` }, label), field) };
  };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = /** @type {[string, string][]} */ ([["UTC", "UTC"], ...(zone && zone !== "UTC" ? [[zone, zone]] : [])]);
  const from = select("from", "Service", SERVICES);
  const onConflict = select("on_conflict", "If a code is taken", CONFLICTS);
  const timezone = select("timezone", "Times without a zone are in", zones);
  const owner = users.length > 1 ? select("user_id", "The links belong to", users.map(({ id, username }) => [String(id), username])) : null;
  if (owner) {
    const known = String(rememberedOwner() ?? "");
    if (users.some(({ id }) => String(id) === known)) owner.field.value = known;
    owner.field.addEventListener("change", () => rememberOwner(Number(owner.field.value)));
  }
  const clicks = h("input", { type: "checkbox", id: "import-clicks", onchange: changed });
  return {
    element: h("div", { class: "import-options" }, from.element, onConflict.element, timezone.element, owner?.element ?? null,
      h("label", { class: "check", for: "import-clicks" }, clicks, "Also import the log of clicks, if the file has one")),
    query() {
      const query = new URLSearchParams({ from: from.field.value, on_conflict: onConflict.field.value, timezone: timezone.field.value });
      if (owner) query.set("user_id", owner.field.value);
      if (clicks.checked) query.set("with_clicks", "true");
      return query;
    },
  };
}
