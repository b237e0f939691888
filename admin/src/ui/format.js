// Turns values of the API into text for people. It must not touch the page.

const number = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const narrow = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "narrow" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const dayOnly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];

/** Formats a number, or the total of a list, which may be a bound such as `10000+`. @param {number | string} value */
export function count(value) {
  const text = number.format(Number.parseInt(String(value), 10) || 0);
  return String(value).endsWith("+") ? `over ${text}` : text;
}

/** @param {number} value */
export function shortCount(value) {
  return value < 10_000 ? number.format(value) : compact.format(value);
}

/** @param {string} plural @param {number} n @param {string} singular */
export function plural(n, singular, plural) {
  return `${number.format(n)} ${n === 1 ? singular : plural}`;
}

/** Reads a time of the API, which is in UTC without a zone. @param {string} text */
export function time(text) {
  return new Date(/[zZ]|[+-]\d\d:\d\d$/.test(text) ? text : `${text}Z`);
}

/** @param {string} text @param {boolean} [isNarrow] whether there is little room */
export function ago(text, isNarrow = false) {
  const seconds = (time(text).getTime() - Date.now()) / 1000;
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return (isNarrow ? narrow : relative).format(Math.trunc(seconds / length), unit);
  }
  return seconds > 0 ? "in a moment" : "just now";
}

/** @param {string} text */
export function moment(text) {
  return dayAndTime.format(time(text));
}

/** @param {string} text */
export function day(text) {
  return dayOnly.format(time(text));
}

/** Splits a target into its host and the rest, so that the host can be read at a glance. @param {string} target */
export function splitTarget(target) {
  const end = /^https?:\/\/(?:[^/?#@]*@)?/i.exec(target)?.[0].length ?? 0;
  const host = /^[^/?#]*/.exec(target.slice(end))?.[0] ?? "";
  return { host, rest: target.slice(end + host.length) };
}

/** Returns the text as an address that can be shortened, or null. @param {string} text */
export function asTarget(text) {
  const trimmed = text.trim();
  if (/\s/.test(trimmed) || trimmed.length > 8192) return null;
  if (/^https?:\/\/[^/?#]+/i.test(trimmed)) return trimmed;
  return /^www\.[^/?#.]+\.[^/?#]+/i.test(trimmed) ? `https://${trimmed}` : null;
}

/** The value of an input for local times. @param {string | null} text */
export function toInput(text) {
  if (!text) return "";
  const at = time(text);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The API's time of a local time. @param {string} value */
export function fromInput(value) {
  return value ? new Date(value).toISOString().slice(0, 19) : null;
}

/** The time zone of the browser. */
export function timeZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}
