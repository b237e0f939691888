// The QR code of a link, which the API draws, and its options. It must not draw a code itself.

import { ApiError, send } from "./api.js";
import { box } from "./dialog.js";
import { debounce, h, show } from "./dom.js";

/** @param {string} label @param {any} input */
function option(label, input) {
  return h("label", { class: "option" }, h("span", {}, label), input);
}

/** @param {[string, string][]} options @param {string} value */
function select(options, value) {
  return h("select", {}, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
}

/** @param {import("./types.js").Link} link */
export function openQr(link) {
  const body = h("div", { class: "qr" });
  const dialog = box(`QR code of ${link.short_code}`, body);
  const image = h("img", { alt: "", width: 280, height: 280 });
  const text = h("p", { class: "mono" });
  const error = h("p", { class: "error", role: "alert" });
  const track = h("input", { type: "checkbox", checked: true, "aria-describedby": "track-note" });
  const size = select([["256", "256 px"], ["512", "512 px"], ["1024", "1,024 px"], ["2048", "2,048 px"]], "1024");
  const level = select([["L", "L, 7 %"], ["M", "M, 15 %"], ["Q", "Q, 25 %"], ["H", "H, 30 %"]], "M");
  const color = h("input", { type: "color", value: "#000000" });
  const background = h("input", { type: "color", value: "#ffffff" });
  const isTransparent = h("input", { type: "checkbox" });
  const saves = ["svg", "png"].map((format) =>
    h("button", { type: "button", class: format === "svg" ? "button primary" : "button", onclick: () => save(format) }, `Save as ${format.toUpperCase()}`));
  show(body, image, text, error, h("label", { class: "check" }, track, "Count scans apart"),
    h("p", { class: "muted small", id: "track-note" }, "The code then ends with ?qr, and its clicks have the source “qr” in the statistics."),
    h("details", { class: "advanced" }, h("summary", {}, "Size and colours"), h("div", {}, h("div", { class: "options" },
      option("Size", size), option("Damage it survives", level), option("Colour", color), option("Background", background)),
      h("label", { class: "check" }, isTransparent, "Transparent background"))),
    h("div", { class: "actions" }, saves));
  /** The images that are shown or were saved, which the browser frees with the dialog. @type {string[]} */
  const urls = [];
  dialog.addEventListener("close", () => urls.forEach((url) => URL.revokeObjectURL(url)));
  body.addEventListener("input", debounce(draw, 120));
  draw();

  /** @param {string} format */
  function path(format) {
    const query = new URLSearchParams({ format, size: size.value, level: level.value, color: color.value.slice(1),
      background: isTransparent.checked ? "transparent" : background.value.slice(1) });
    if (track.checked) query.set("track", "1");
    return `/urls/${link.id}/qr?${query}`;
  }

  /** Fetches an image, and returns its address. @param {string} path */
  async function load(path) {
    const response = await send("GET", path, { headers: { accept: "image/*" } });
    if (!response.ok) throw new ApiError(response.status, (await response.json().catch(() => null))?.message ?? `The API answered ${response.status}.`);
    const url = URL.createObjectURL(await response.blob());
    urls.push(url);
    return url;
  }

  async function draw() {
    const wanted = path("svg");
    try {
      const url = await load(wanted);
      if (wanted !== path("svg")) return;
      const address = `${link.short_url}${track.checked ? "?qr" : ""}`;
      image.src = url;
      image.alt = `QR code of ${address}`;
      show(text, address);
      report("");
    } catch (failure) {
      if (wanted === path("svg")) report(failure.message || "The code cannot be drawn now.");
    }
  }

  /** @param {string} format */
  async function save(format) {
    try {
      h("a", { href: await load(path(format)), download: `${link.short_code}.${format}` }).click();
    } catch (failure) {
      report(failure.message || "The code cannot be saved now.");
    }
  }

  /** @param {string} message */
  function report(message) {
    show(error, message);
    image.classList.toggle("stale", message !== "");
    saves.forEach((button) => (button.disabled = message !== ""));
  }
}
