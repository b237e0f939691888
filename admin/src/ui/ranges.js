// The ranges of statistics, by the clocks of the browser, and how their points are named. It must not fetch or draw.

/** @typedef {{ from: string, to?: string, per: "hour" | "day" | "week" | "month" }} Range */

const DAY = 86_400_000;

/** The ranges by their name in the address. */
export const RANGES = { "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days", all: "All time", custom: "Custom" };

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

/** A date by the clocks of the browser. @param {Date} at */
export function date(at) {
  return `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** The date some days later. @param {string} text @param {number} days */
export function addDays(text, days) {
  return new Date(Date.parse(`${text}T00:00:00Z`) + days * DAY).toISOString().slice(0, 10);
}

/** The time of a point for a range of some days, so that a chart has neither few nor too many. @param {number} days */
function perOf(days) {
  if (days <= 2) return "hour";
  if (days <= 120) return "day";
  return days <= 1000 ? "week" : "month";
}

/**
 * The parameters of a range; null if a custom one is not complete.
 * @param {URLSearchParams} query @param {Date} first the time at which all time begins @returns {Range | null}
 */
export function rangeOf(query, first) {
  const name = query.get("range") ?? "30d";
  const today = date(new Date());
  if (name === "24h") {
    const start = new Date(Date.now() - 23 * 3_600_000);
    return { from: `${date(start)}T${two(start.getHours())}:00:00`, per: "hour" };
  }
  if (name === "all") return { from: date(first), per: perOf((Date.now() - first.getTime()) / DAY) };
  if (name === "custom") {
    const [from, last] = [query.get("from") ?? "", query.get("to") ?? ""];
    const days = (Date.parse(last) - Date.parse(from)) / DAY + 1;
    return days >= 1 ? { from, to: addDays(last, 1), per: perOf(days) } : null;
  }
  return { from: addDays(today, 1 - (Number.parseInt(name, 10) || 30)), per: "day" };
}

const options = /** @type {Record<string, Intl.DateTimeFormatOptions>} */ ({
  hour: { hour: "2-digit", minute: "2-digit" },
  day: { day: "numeric", month: "short" },
  week: { day: "numeric", month: "short", year: "2-digit" },
  month: { month: "short", year: "numeric" },
});
const formats = Object.fromEntries(Object.entries(options).map(([per, option]) => [per, new Intl.DateTimeFormat(undefined, { ...option, timeZone: "UTC" })]));
const span = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const hourly = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC" });

/** Reads a time of an answer, which is already by the clocks of the browser. @param {string} text */
const local = (text) => new Date(`${text}Z`);

/** Returns the name of a point. @param {string} at @param {string} per */
export function pointName(at, per) {
  return formats[per].format(local(at));
}

/** Returns the days of a range, or its hours. @param {{ from: string, to: string }} range @param {string} per */
export function rangeName({ from, to }, per) {
  if (per === "hour") return hourly.formatRange(local(from), local(to));
  return span.formatRange(local(from), new Date(local(to).getTime() - 1));
}
