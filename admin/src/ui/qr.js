// The QR code of a link, which the API draws. It must not draw one itself.

import { ApiError, send } from "./api.js";
import { box } from "./dialog.js";
import { h, show } from "./dom.js";

/** @param {import("./types.js").Link} link */
export function openQr(link) {
  const body = h("div", { class: "qr" });
  const dialog = box(`QR code of ${link.short_code}`, body);
  const image = h("img", { alt: "", width: 280, height: 280 });
  const text = h("p", { class: "mono" });
  const error = h("p", { class: "error", role: "alert" });
  const save = h("a", { class: "button primary", download: `${link.short_code}.svg` }, "Save as SVG");
  const track = h("input", { type: "checkbox", checked: true, "aria-describedby": "track-note" });
  track.addEventListener("change", draw);
  show(body, image, text, error, h("label", { class: "check" }, track, "Count scans apart"),
    h("p", { class: "muted small", id: "track-note" }, "The code then ends with ?qr, and its clicks have the source “qr” in the statistics."), save);
  let url = "";
  dialog.addEventListener("close", () => URL.revokeObjectURL(url));
  draw();

  async function draw() {
    const isTracked = track.checked;
    show(error);
    try {
      const response = await send("GET", `/urls/${link.id}/qr.svg${isTracked ? "?track=1" : ""}`, { headers: { accept: "image/svg+xml" } });
      if (!response.ok) throw new ApiError(response.status, `The API answered ${response.status}.`);
      const drawn = await response.text();
      if (isTracked !== track.checked) return;
      URL.revokeObjectURL(url);
      url = URL.createObjectURL(new Blob([drawn], { type: "image/svg+xml" }));
      const address = `${link.short_url}${isTracked ? "?qr" : ""}`;
      image.src = url;
      image.alt = `QR code of ${address}`;
      save.href = url;
      show(text, address);
    } catch (failure) {
      show(error, failure.message || "The code cannot be drawn now.");
    }
  }
}
