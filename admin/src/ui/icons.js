// The icons, drawn as strokes on a grid of 16. It must not hold anything but their paths.

import { s } from "./dom.js";

const PATHS = {
  copy: "M6 5.5h7v8H6zM10 5.5v-3H3v8h3",
  check: "M3 8.5 6.5 12 13 4.5",
  more: "M3.2 8h.6M7.700 8h.6M12.200 8h.6",
  edit: "M10.5 3 13 5.5 6 12.5l-3 .5.5-3z",
  trash: "M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5l.5 9h6l.5-9",
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.5 10.5 14 14",
  qr: "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h1.5M13.5 9.5v4M9.5 13.5h2",
  chart: "M2.5 13.5h11M4.5 11V8M8 11V3.5M11.5 11V6",
  power: "M8 2.5v5M4.8 4.5a5 5 0 1 0 6.4 0",
  sun: "M8 10.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  moon: "M13 9.5A5.5 5.5 0 1 1 6.5 3 4.5 4.5 0 0 0 13 9.5z",
  user: "M8 8a2.75 2.75 0 1 0 0-5.5A2.75 2.75 0 0 0 8 8zM2.5 13.5c.8-2.4 3-3.5 5.5-3.5s4.700 1.100 5.500 3.500",
  keys: "M2 4.500h12v7.500H2zM4.500 7h.010M7 7h.010M9.500 7h.010M11.500 7h.010M5 9.500h6",
  external: "M9 3h4v4M13 3 7.500 8.500M11.500 9.500v3.500H3V4.500h3.500",
  list: "M3 4h10M3 8h10M3 12h10",
  tag: "M2.500 8.500 8.500 2.500h5v5l-6 6zM10.800 5.200h.010",
  history: "M8 5v3.200l2.300 1.300M2.700 8A5.300 5.300 0 1 0 4.200 4.300M2.500 2.500v3h3",
  download: "M8 2.500v7.500M5 7l3 3 3-3M3 13h10",
  key: "M6.500 9.500a3.300 3.300 0 1 1 1.600-1.600L13.500 13.500M10.500 10.500l1.500-1.500M12.500 12.500 14 11",
  pulse: "M1.500 8.500h3l2-5 3 9 2-4h3",
  up: "M8 13V3.500M4 7l4-4 4 4",
  down: "M8 3v9.500M4 9l4 4 4-4",
  back: "M9.500 3.500 5 8l4.500 4.500",
};

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    s("path", { d: PATHS[name] }));
}
