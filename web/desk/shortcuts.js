/**
 * Keys. They rest while somebody writes, while a dialog is open, and for a moment after an offer appears: a key pressed
 * for something else must not accept it.
 * @module
 */
import { byId, takesText } from "../lib/dom.js";
import { settings } from "./settings.js";

const SETTLING = 400;

/**
 * @param {import("./model.js").Model} model
 * @param {import("./actions.js").Actions} actions
 * @param {{show: (contact: string) => void, reply: () => void, help: () => void, close: () => void}} page
 */
export function listenForKeys(model, actions, page) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (takesText(event.target) || document.querySelector("dialog[open]")) return;
    const target = /** @type {HTMLElement} */ (event.target);
    const card = target.closest("[data-offer]");
    const offer = model.offers.find((one) => one.id === card?.getAttribute("data-offer")) ?? model.offers[0];

    if (event.key === "Enter") {
      const neutral =
        target === document.body || target === card || target === byId("lists") || target === byId("conversation");
      if (neutral && offer && settled(model, offer.id)) {
        event.preventDefault();
        void actions.accept(offer);
      }
      return;
    }
    if (event.key === "Escape") {
      page.close();
      return;
    }
    if (!settings.shortcuts) return;
    switch (event.key.toLowerCase()) {
      case "a":
        if (offer && settled(model, offer.id)) void actions.accept(offer);
        break;
      case "d":
        if (offer && settled(model, offer.id)) void actions.decline(offer);
        break;
      case "j":
        step(model, page, 1);
        break;
      case "k":
        step(model, page, -1);
        break;
      case "r":
        page.reply();
        break;
      case "?":
        page.help();
        break;
      default:
        return;
    }
    event.preventDefault();
  });
}

/** @param {import("./model.js").Model} model @param {string} offer */
function settled(model, offer) {
  return Date.now() - (model.offerTimes.get(offer)?.at ?? 0) >= SETTLING;
}

/** @param {import("./model.js").Model} model @param {{show: (contact: string) => void}} page @param {number} by */
function step(model, page, by) {
  const ids = model.assignments.map((entry) => entry.contact.id);
  if (ids.length === 0) return;
  const at = ids.indexOf(model.open ?? "");
  page.show(ids[at < 0 ? (by > 0 ? 0 : ids.length - 1) : (at + by + ids.length) % ids.length]);
}
