// The QR code of a link, which the API draws. It must not draw one itself.

import { ApiError, send } from "./api.js";
import { box } from "./dialog.js";
import { h, show } from "./dom.js";

/** @param {import("./types.js").Link} link */
export async function openQr(link) {
  const body = h("div", { class: "qr" });
  const dialog = box(`QR code of ${link.short_code}`, body);
  try {
    const response = await send("GET", `/urls/${link.id}/qr.svg`, { headers: { accept: "image/svg+xml" } });
    if (!response.ok) throw new ApiError(response.status, `The API answered ${response.status}.`);
    const url = URL.createObjectURL(new Blob([await response.text()], { type: "image/svg+xml" }));
    dialog.addEventListener("close", () => URL.revokeObjectURL(url));
    show(body, h("img", { src: url, alt: `QR code of ${link.short_url}`, width: 280, height: 280 }), h("p", { class: "mono" }, link.short_url),
      h("a", { class: "button primary", href: url, download: `${link.short_code}.svg` }, "Save as SVG"));
  } catch (error) {
    show(body, h("p", { class: "error" }, error.message));
  }
}
