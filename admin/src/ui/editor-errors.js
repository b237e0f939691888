// The error of an input in a list of the editor. It must not know what the list holds.

import { show } from "./dom.js";

/**
 * Shows an error in the row of its input, which gets the focus; below the list if there is no such input.
 * @param {string} text @param {{ list: Element, below: HTMLElement, row?: Element | null, input?: HTMLElement | null }} place
 */
export function showError(text, { list, below, row, input }) {
  list.querySelectorAll("[aria-invalid]").forEach(clearError);
  show(below, input ? "" : text);
  const place = row?.querySelector(".error");
  if (!text || !place || !input) return false;
  show(place, text);
  input.setAttribute("aria-invalid", "true");
  input.focus();
  return true;
}

/** Takes the error of an input away. @param {Element} input */
export function clearError(input) {
  input.removeAttribute("aria-invalid");
  const place = input.closest(".condition, .leads, li")?.querySelector(".error");
  if (place) show(place);
}
