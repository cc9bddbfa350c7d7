// Time, and waiting.
globalThis.crypto ??= (await import("node:crypto")).webcrypto; // Node 18

/** ms modulo 2^30. */
export const now = () => Math.floor(performance.now()) & 0x3fffffff;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A wait has taken longer than it may; nothing is lost. */
export class TimeoutError extends Error {
  name = "TimeoutError";
}

/** Wakes who waits. */
export class Bell {
  #waiting = new Set();

  ring() {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake(true);
  }

  /** Whether it rang; false: after ms (undefined: never). */
  wait(ms) {
    return new Promise((resolve) => {
      let timer;
      const wake = (rang) => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(rang);
      };
      if (ms !== undefined) timer = setTimeout(wake, ms, false);
      this.#waiting.add(wake);
    });
  }
}

/** Calls wake() 4 times a second while the page is hidden: browsers then let a page's own timers run once a
 * second, and after 5 minutes once a minute; those of a worker run on. Returns what ends it. */
export function whileHidden(wake) {
  if (typeof document === "undefined" || typeof Worker === "undefined") return () => {};
  let worker = null;
  const look = () => {
    if (document.hidden && !worker) {
      worker = new Worker(new URL("picolink-timer.js", import.meta.url));
      worker.onmessage = wake;
    } else if (!document.hidden) {
      worker?.terminate();
      worker = null;
      wake();
    }
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    worker?.terminate();
  };
}
