/**
 * The pages' words for the trade's terms (`docs/glossary.md`), in one place.
 * @module
 */

/** @type {Record<string, string>} */
const CHANNELS = {
  chat: "Chat",
  email: "E-mail",
  telegram: "Telegram",
  messenger: "Messenger",
  callback: "Call-back",
  custom: "Other work",
};

/** @param {string} kind a kind, or `kind:account` */
export function channelWord(kind) {
  const bare = String(kind ?? "").split(":")[0];
  return CHANNELS[bare] ?? capital(bare);
}

/** @param {string} kind */
export function channelIcon(kind) {
  const bare = String(kind ?? "").split(":")[0];
  return bare in CHANNELS ? bare : "custom";
}

const languages = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

/** @param {string | null | undefined} code BCP 47 */
export function languageWord(code) {
  if (!code || code === "und") return "Language unknown";
  try {
    return languages.of(code) ?? code;
  } catch {
    return code;
  }
}

/** @type {Record<string, string>} */
const PRESENCES = { available: "Available", away: "Away", offline: "Offline" };

/** @param {string} presence */
export function presenceWord(presence) {
  return PRESENCES[presence] ?? capital(presence);
}

/** @type {Record<string, string>} */
const HEALTH = {
  healthy: "Working",
  degraded: "Slower than usual",
  down: "Not available",
  recovering: "Recovering",
  maintenance: "Maintenance",
};

/** @param {string} state */
export function healthWord(state) {
  return HEALTH[state] ?? capital(state);
}

/** How far a reply got. @type {Record<string, {word: string, icon: string}>} */
export const DELIVERY = {
  sending: { word: "Sending", icon: "clock" },
  queued: { word: "On its way", icon: "clock" },
  accepted: { word: "Sent", icon: "check" },
  delivered: { word: "Delivered", icon: "checks" },
  read: { word: "Read", icon: "checks" },
  failed: { word: "Not delivered", icon: "alert" },
  rejected: { word: "Not taken", icon: "alert" },
};

/** `billing_disputes` as a reader would like it: `Billing disputes`. @param {string} name */
export function nameWord(name) {
  return capital(String(name ?? "").replace(/[_-]+/g, " "));
}

/** @param {string} text */
export function capital(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : "";
}

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
