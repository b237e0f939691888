// The clicks of a link as they come, read from a stream of the API. It must not count them anywhere else.

import { send } from "./api.js";
import { h, show } from "./dom.js";
import { ago } from "./format.js";

/** The clicks that are shown. */
const MOST = 8;

/** The pauses before the stream is opened again, in milliseconds. */
const PAUSES = [1000, 2000, 5000, 10_000, 30_000];

/**
 * Follows the clicks of a link until the signal is aborted.
 * @param {HTMLElement} place @param {number} id @param {() => void} onClicks is called after clicks that may have come @param {AbortSignal} signal
 */
export async function followClicks(place, id, onClicks, signal) {
  const state = h("span", { class: "live-state", role: "status" }, "Connecting");
  const list = h("ol", { class: "live" });
  const none = h("p", { class: "muted" }, "Clicks appear here as they come.");
  show(place, h("div", { class: "line" }, h("h2", {}, "Live"), state), none, list);
  // Times age while nobody clicks.
  const clock = setInterval(() => list.querySelectorAll("time").forEach((at) => show(at, ago(at.dateTime))), 15_000);
  signal.addEventListener("abort", () => clearInterval(clock));
  let last = "";
  for (let attempt = 0; !signal.aborted; attempt++) {
    // A browser has few connections to one origin, so a tab that nobody sees gives its one back, and begins anew.
    if (document.hidden) {
      last = "";
      attempt = 0;
      await untilSeen(signal);
    }
    const stop = new AbortController();
    const ends = AbortSignal.any([signal, stop.signal]);
    document.addEventListener("visibilitychange", () => document.hidden && stop.abort(), { signal: ends });
    try {
      const response = await send("GET", `/urls/${id}/live`, { signal: ends, headers: { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) } });
      if (response.status === 401 || response.status === 404) return show(state, "Ended");
      if (response.ok && response.body) {
        show(state, "Connected");
        state.classList.add("on");
        if (!last) onClicks();
        for await (const message of messages(response.body)) {
          attempt = 0;
          if (message.id) last = message.id;
          if (message.event === "click") showClick(JSON.parse(message.data));
        }
      }
    } catch {
      if (signal.aborted) return;
    }
    state.classList.remove("on");
    show(state, "Connecting again");
    if (!document.hidden) await new Promise((resolve) => setTimeout(resolve, PAUSES[Math.min(attempt, PAUSES.length - 1)]));
    stop.abort();
  }

  /** @param {any} event */
  function showClick({ timestamp, details }) {
    none.hidden = true;
    const what = details.bot ? `Bot: ${details.bot === true ? "unknown" : details.bot}` : details.referrer ? hostOf(details.referrer) : "Direct";
    list.prepend(h("li", {}, h("span", { class: details.bot ? "muted" : null }, what), details.source ? h("span", { class: "chip" }, details.source) : null,
      h("time", { class: "small", datetime: timestamp }, ago(timestamp))));
    while (list.children.length > MOST) list.lastElementChild.remove();
    onClicks();
  }
}

/** Waits until the tab is seen. @param {AbortSignal} signal */
function untilSeen(signal) {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", () => document.hidden || resolve(undefined), { signal });
    signal.addEventListener("abort", resolve);
  });
}

/** @param {string} referrer */
function hostOf(referrer) {
  return /^https?:\/\/([^/]+)/.exec(referrer)?.[1] ?? referrer;
}

/**
 * Reads the messages of a stream of server-sent events.
 * @param {ReadableStream<Uint8Array>} body @returns {AsyncGenerator<{ event: string, id: string, data: string }>}
 */
async function* messages(body) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      /** @type {Record<string, string>} */
      const message = { event: "message", id: "", data: "" };
      for (const line of part.split("\n")) {
        const [, name, text] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name) message[name] = name === "data" && message.data ? `${message.data}\n${text}` : text;
      }
      yield /** @type {any} */ (message);
    }
  }
}
