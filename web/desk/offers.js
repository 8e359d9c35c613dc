/**
 * Offers: who is waiting, for how long, and how much time is left to answer.
 * @module
 */
import { byId, fill, h, reconcile, say, svg } from "../lib/dom.js";
import { duration, now, timeOf } from "../lib/time.js";
import { channelWord, languageWord, nameWord, plural } from "../lib/words.js";
import { channelBadge, chips } from "./facts.js";

const ROUND = 2 * Math.PI * 20;

export class Offers {
  /** @param {import("./model.js").Model} model @param {import("./actions.js").Actions} actions */
  constructor(model, actions) {
    this.model = model;
    this.actions = actions;
    this.list = byId("offers");
    /** @type {Set<string>} */
    this.announced = new Set();
  }

  render() {
    const offers = this.model.offers;
    say(byId("offers-count"), offers.length ? String(offers.length) : "");
    reconcile(
      this.list,
      offers,
      (offer) => offer.id,
      (offer) => this.create(offer),
      (element, offer) => this.update(element, offer),
    );
    this.empty(offers.length === 0);
    for (const offer of offers) this.actions.ensure(offer.contact);
    this.announce(offers);
    this.tick();
  }

  /** @param {import("./model.js").Offer} offer */
  create(offer) {
    const ring = svg(
      "svg",
      { class: "ring", viewBox: "0 0 48 48", width: 52, height: 52, "aria-hidden": "true" },
      svg("circle", { class: "track", cx: 24, cy: 24, r: 20 }),
      svg("circle", {
        class: "left",
        cx: 24,
        cy: 24,
        r: 20,
        transform: "rotate(-90 24 24)",
        "stroke-dasharray": ROUND,
        "data-part": "ring",
      }),
    );
    return h(
      "li",
      { class: "offer", tabindex: "0", "aria-labelledby": `offer-${offer.id}`, "data-offer": offer.id },
      h(
        "div",
        { class: "offer-head" },
        h(
          "div",
          { class: "countdown" },
          ring,
          h("span", { class: "numeric", "data-part": "seconds", "aria-hidden": "true" }),
        ),
        h(
          "div",
          { class: "offer-what" },
          h(
            "p",
            { class: "offer-title", id: `offer-${offer.id}` },
            channelBadge(offer.contact.channel),
            h("strong", {}, nameWord(offer.contact.queue ?? "")),
          ),
          h("p", { class: "hint numeric", "data-part": "age" }),
        ),
      ),
      h("p", { class: "preview", "data-part": "preview", dir: "auto" }),
      h("div", { class: "chips", "data-part": "chips" }),
      h(
        "div",
        { class: "offer-buttons" },
        h(
          "button",
          {
            class: "button primary",
            type: "button",
            "data-part": "accept",
            on: { click: () => this.actions.accept(this.current(offer)) },
          },
          "Accept",
          h("kbd", { "aria-hidden": "true" }, "A"),
        ),
        h(
          "button",
          {
            class: "button",
            type: "button",
            "data-part": "decline",
            on: { click: () => this.actions.decline(this.current(offer)) },
          },
          "Decline",
          h("kbd", { "aria-hidden": "true" }, "D"),
        ),
      ),
    );
  }

  /** @param {import("./model.js").Offer} offer */
  current(offer) {
    return this.model.offers.find((other) => other.id === offer.id) ?? offer;
  }

  /** @param {HTMLElement} element @param {import("./model.js").Offer} offer */
  update(element, offer) {
    const preview = this.model.preview(offer.contact.id);
    say(part(element, "preview"), preview);
    part(element, "preview").hidden = !preview;
    fill(part(element, "chips"), chips(offer.contact));
    const busy = this.model.busy.has(`offer ${offer.id}`);
    for (const name of ["accept", "decline"]) /** @type {HTMLButtonElement} */ (part(element, name)).disabled = busy;
  }

  /** Once a second: the rings and the ages. */
  tick() {
    for (const offer of this.model.offers) {
      const element = this.list.querySelector(`[data-offer="${CSS.escape(offer.id)}"]`);
      if (!element) continue;
      const left = Math.max(0, (timeOf(offer.expires_at) ?? 0) - now());
      const span = this.model.offerTimes.get(offer.id)?.span ?? left;
      const share = Math.min(1, span > 0 ? left / span : 0);
      say(part(element, "seconds"), left > 99_000 ? duration(left).replace(" ", "") : String(Math.ceil(left / 1000)));
      part(element, "ring").setAttribute("stroke-dashoffset", String(ROUND * (1 - share)));
      element.classList.toggle("urgent", left < 8000);
      const since = timeOf(offer.contact.enqueued_at);
      say(
        part(element, "age"),
        since === null ? channelWord(offer.contact.channel ?? "") : `waiting ${duration(now() - since)}`,
      );
    }
  }

  /** @param {boolean} none */
  empty(none) {
    const area = byId("offers-empty");
    area.hidden = !none || !this.model.work;
    if (area.hidden) return;
    const presence = this.model.work.presence;
    const words =
      presence === "available"
        ? this.model.work.wrap_up
          ? "New offers come when your wrap-up is over."
          : "You are available. The next contact for you appears here."
        : "You get no offers now. Set yourself to Available when you are ready.";
    if (area.textContent !== words)
      fill(
        area,
        h("span", { class: presence === "available" ? "beacon on" : "beacon", "aria-hidden": "true" }),
        h("p", {}, words),
      );
  }

  /** Says each offer once, with what a person needs to decide. @param {import("./model.js").Offer[]} offers */
  announce(offers) {
    const fresh = offers.filter((offer) => !this.announced.has(offer.id));
    if (fresh.length === 0) return;
    for (const offer of fresh) this.announced.add(offer.id);
    const first = fresh[0];
    const left = Math.max(0, Math.round(((timeOf(first.expires_at) ?? 0) - now()) / 1000));
    const more = fresh.length > 1 ? ` And ${plural(fresh.length - 1, "more offer")}.` : "";
    byId("announce-offers").textContent =
      `New offer: ${channelWord(first.contact.channel ?? "")}, ${nameWord(first.contact.queue ?? "")}, ${languageWord(first.contact.language)}. ${plural(left, "second")} to answer.${more}`;
  }
}

/** @param {Element} element @param {string} name @returns {HTMLElement} */
function part(element, name) {
  return /** @type {HTMLElement} */ (element.querySelector(`[data-part="${name}"]`));
}
