/**
 * Our own line icons, 20 × 20. Decoration only: a label always stands beside them or in the button's name.
 * @module
 */
import { svg } from "./dom.js";

/** @type {Record<string, string>} */
const PATHS = {
  chat: "M4 5.5A1.5 1.5 0 0 1 5.5 4h9A1.5 1.5 0 0 1 16 5.5v6a1.5 1.5 0 0 1-1.5 1.5H9.5L6 16v-3h-.5A1.5 1.5 0 0 1 4 11.5zM7 7.2h6M7 9.8h4",
  email: "M3 5.5h14v9.5H3zM3.3 6l6.7 5 6.7-5",
  telegram: "M17 3.5 2.8 9.3l4.7 1.7L15 5.5 9 12l-.3 4.5 2.5-2.8 3.3 2.3z",
  messenger:
    "M10 3c4.2 0 7.2 2.8 7.2 6.4S14.2 15.8 10 15.8c-.8 0-1.5-.1-2.2-.3L5 17v-2.7A6.2 6.2 0 0 1 2.8 9.4C2.8 5.8 5.8 3 10 3zM6.3 11l2.6-2.7 2.2 1.7L13.7 7.7",
  callback:
    "M5.5 3.5 7.7 3l1.5 3.5-1.5 1.3a8 8 0 0 0 4.5 4.5l1.3-1.5 3.5 1.5-.5 2.2c-.2.9-1 1.5-1.9 1.5A11.5 11.5 0 0 1 4 5.4c0-.9.6-1.7 1.5-1.9z",
  custom: "M10 2.8 16.5 6v8L10 17.2 3.5 14V6zM3.5 6l6.5 3.2L16.5 6M10 9.2v8",
  check: "M4 10.5 8 14.5 16 5.5",
  checks: "M1.5 10.7 5.2 14.5 12 6M9.2 13.6l.9.9L17.5 6",
  clock: "M10 3.2a6.8 6.8 0 1 1 0 13.6 6.8 6.8 0 0 1 0-13.6zM10 6.5V10l2.5 1.7",
  alert: "M10 3.5 17.5 16.5h-15zM10 8.2v3.8M10 14.1v.2",
  info: "M10 3.2a6.8 6.8 0 1 1 0 13.6 6.8 6.8 0 0 1 0-13.6zM10 9.2V13.5M10 6.5v.2",
  close: "M5 5l10 10M15 5 5 15",
  send: "M3.5 10 16.5 4l-4 12.5-3-5zM9.5 11.5l3-3",
  back: "M12.5 4.5 7 10l5.5 5.5",
  menu: "M10 4.8v.2M10 9.9v.2M10 15v.2",
  gear: "M3 6h7M14 6h3M3 14h3M10 14h7M12 4a2 2 0 1 1 0 4 2 2 0 0 1 0-4zM8 12a2 2 0 1 1 0 4 2 2 0 0 1 0-4z",
  person: "M10 3.5a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4zM3.8 16.8c.6-3 3.1-4.7 6.2-4.7s5.6 1.7 6.2 4.7",
  headset:
    "M3.5 12V10a6.5 6.5 0 0 1 13 0v2M3.5 11.5h2.2v4.3H4.5a1 1 0 0 1-1-1zM16.5 11.5h-2.2v4.3h1.2a1 1 0 0 0 1-1zM15.5 15.8c0 1.2-1.5 1.7-3.5 1.7",
  pulse: "M2.5 10.5h3.7L8 5.5l3.5 9.5 2-4.5h4",
  code: "M7 6l-4 4 4 4M13 6l4 4-4 4",
  requeue: "M16.5 10a6.5 6.5 0 1 1-2-4.7M16.5 3v3.5H13",
  leave: "M12 4H5v12h7M9 10h8M14 7l3 3-3 3",
  arrow: "M4 10h11.5M11 5.5 15.5 10 11 14.5",
  globe:
    "M10 3.2a6.8 6.8 0 1 1 0 13.6 6.8 6.8 0 0 1 0-13.6zM3.2 10h13.6M10 3.2c2.3 2 3 4.4 3 6.8s-.7 4.8-3 6.8c-2.3-2-3-4.4-3-6.8s.7-4.8 3-6.8z",
  inbox: "M3 11.5 5.5 4h9L17 11.5V16H3zM3 11.5h4l1 2h4l1-2h4",
  redirect: "M4 4.5v4a3 3 0 0 0 3 3h9M12.5 8l3.5 3.5-3.5 3.5",
};

/**
 * @param {string} name
 * @param {number} [size]
 */
export function icon(name, size = 20) {
  return svg(
    "svg",
    { viewBox: "0 0 20 20", width: size, height: size, "aria-hidden": "true", focusable: "false" },
    svg("path", {
      d: PATHS[name] ?? PATHS.custom,
      fill: "none",
      stroke: "currentColor",
      "stroke-width": name === "menu" ? 2.4 : 1.6,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );
}
