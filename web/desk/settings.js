/**
 * The agent's own settings, kept in this browser.
 * @module
 */
import { device } from "../lib/storage.js";

const DEFAULTS = { sendWith: "enter", shortcuts: true, theme: "system", badge: true };

/** @type {{sendWith: "enter" | "ctrl", shortcuts: boolean, theme: "system" | "light" | "dark", badge: boolean}} */
export const settings = { ...DEFAULTS, ...(device.get("desk.settings") ?? {}) };

/** @param {Partial<typeof settings>} changes */
export function changeSettings(changes) {
  Object.assign(settings, changes);
  device.put("desk.settings", settings);
  applyTheme();
}

export function applyTheme() {
  if (settings.theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = settings.theme;
}
