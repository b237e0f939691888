// Deletions that wait for a time in which they can be undone. It must not know what is deleted.

import { toast, toastError } from "./toast.js";

const SECONDS = 10;

/** @typedef {{ run: (options: { keepalive?: boolean }) => Promise<any>, undo: () => void, done?: () => void, now?: string }} Deletion `now` is the name of an action that does not wait */

/** @type {Set<Deletion>} */
const waiting = new Set();

/** Deletes after ten seconds, unless the user undoes it. A deletion that fails is undone, too. @param {string} text @param {Deletion} deletion */
export function deleteLater(text, deletion) {
  waiting.add(deletion);
  const undo = () => {
    waiting.delete(deletion);
    deletion.undo();
  };
  const run = async () => {
    waiting.delete(deletion);
    try {
      await deletion.run({});
      deletion.done?.();
    } catch (error) {
      deletion.undo();
      toastError(error);
    }
  };
  toast(text, { seconds: SECONDS, actions: [["Undo", undo], ...(deletion.now ? [/** @type {[string, () => void]} */ ([deletion.now, run])] : [])], onEnd: run });
}

// A page that is closed does not wait any longer.
addEventListener("pagehide", () => waiting.forEach(({ run }) => run({ keepalive: true }).catch(() => {})));
