/**
 * Times as people read them, against the server's clock: an agent's laptop may be minutes off, and a countdown that lies
 * costs an offer.
 * @module
 */

let offset = 0;

/**
 * Learns the server's clock from a response's `Date` header (whole seconds, so the middle of the second is taken).
 * Small differences are the header's own coarseness and the road's, and are left out.
 * @param {Headers} headers
 */
export function learnClock(headers) {
  const at = Date.parse(headers.get("date") ?? "");
  if (Number.isNaN(at)) return;
  const difference = at + 500 - Date.now();
  offset = Math.abs(difference) < 2000 ? 0 : difference;
}

/** The server's time, in ms. */
export function now() {
  return Date.now() + offset;
}

/** RFC 3339 text or milliseconds; null for nothing. @param {unknown} value @returns {number | null} */
export function timeOf(value) {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return null;
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : at;
}

/** A length of time, short: `12 s`, `4 min`, `2 h 05`, `3 d`. @param {number} ms */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")}`;
  return `${Math.floor(hours / 24)} d`;
}

/** A countdown: `0:07`, `12:40`. @param {number} ms */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayAndClock = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

/** The time of day; with the date when it was not today. @param {number} at */
export function clockTime(at) {
  return (sameDay(at, Date.now()) ? clock : dayAndClock).format(at);
}

/** @param {number} at */
export function dayName(at) {
  if (sameDay(at, Date.now())) return "Today";
  if (sameDay(at, Date.now() - 86_400_000)) return "Yesterday";
  return day.format(at);
}

/** @param {number} a @param {number} b */
export function sameDay(a, b) {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

/** So many seconds in the largest unit that fits, as a person would say it. @param {number} seconds @param {string} [language] */
export function stretch(seconds, language = "en") {
  const [unit, size] = seconds < 60 ? ["second", 1] : seconds < 3600 ? ["minute", 60] : ["hour", 3600];
  const whole = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 1 };
  return new Intl.NumberFormat(language, /** @type {Intl.NumberFormatOptions} */ (whole)).format(seconds / Number(size));
}

/** Upper bounds of a wait, as a person would say them. @param {{usually_under_s: number, nearly_always_under_s: number}} range */
export function waitRange(range) {
  const nearly = `nearly always under ${stretch(range.nearly_always_under_s)}`;
  const same = range.usually_under_s === range.nearly_always_under_s;
  return same ? nearly : `usually under ${stretch(range.usually_under_s)}, ${nearly}`;
}

/**
 * Resolves after so long, or at once when the signal fires.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}

/**
 * How long to wait before the next try: doubling, with jitter so that a thousand desks do not come back at once.
 * @param {number} attempt 0 for the first
 * @param {number} [longest]
 */
export function backoff(attempt, longest = 15_000) {
  const most = Math.min(longest, 400 * 2 ** Math.min(attempt, 10));
  return most / 2 + (Math.random() * most) / 2;
}
