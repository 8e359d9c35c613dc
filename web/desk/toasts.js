/**
 * Short messages at the edge: what was refused and why, in the server's own words.
 * @module
 */
import { byId, h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";

/** @param {string} text @param {"bad" | "accent" | "amber"} [tone] */
export function toast(text, tone = "bad") {
  const close = h(
    "button",
    { class: "button quiet small icon", type: "button", "aria-label": "Dismiss" },
    icon("close", 16),
  );
  const element = h(
    "div",
    { class: `notice toast ${tone}`, role: tone === "bad" ? "alert" : "status" },
    icon(tone === "accent" ? "check" : "alert", 18),
    h("p", {}, text),
    close,
  );
  const gone = () => element.remove();
  close.addEventListener("click", gone);
  const area = byId("toasts");
  while (area.childElementCount >= 3) area.firstElementChild?.remove();
  area.append(element);
  let timer = setTimeout(gone, tone === "bad" ? 12_000 : 5_000);
  element.addEventListener("pointerenter", () => clearTimeout(timer));
  element.addEventListener("pointerleave", () => (timer = setTimeout(gone, 4_000)));
}
