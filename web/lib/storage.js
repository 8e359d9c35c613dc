/**
 * What a page keeps over a reload. A browser may refuse storage (private windows, full disks): then the page goes on
 * with its memory alone.
 * @module
 */

/** @param {() => Storage} area @param {string} prefix */
function shelf(area, prefix) {
  /** @type {Map<string, string>} */
  const memory = new Map();
  return {
    /** @param {string} key @returns {any} what was put, or null */
    get(key) {
      let text = null;
      try {
        text = area().getItem(prefix + key);
      } catch {
        /* refused: memory below */
      }
      text ??= memory.get(key) ?? null;
      if (text === null) return null;
      try {
        return JSON.parse(text);
      } catch {
        return null;
      }
    },
    /** @param {string} key @param {unknown} value null or undefined removes */
    put(key, value) {
      if (value === null || value === undefined) {
        memory.delete(key);
        try {
          area().removeItem(prefix + key);
        } catch {
          /* nothing to remove */
        }
        return;
      }
      const text = JSON.stringify(value);
      memory.set(key, text);
      try {
        area().setItem(prefix + key, text);
      } catch {
        /* memory holds it */
      }
    },
    /** Forgets everything of ours. */
    clear() {
      memory.clear();
      try {
        const kept = area();
        for (const name of Object.keys(kept)) if (name.startsWith(prefix)) kept.removeItem(name);
      } catch {
        /* nothing to remove */
      }
    },
  };
}

/** For this tab only: credentials and drafts, gone when the tab closes. */
export const tab = shelf(() => sessionStorage, "switchdesk.");

/** For this browser: settings and a customer's own chat. */
export const device = shelf(() => localStorage, "switchdesk.");
