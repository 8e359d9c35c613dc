/**
 * Contacts of colleagues about which the agent was asked.
 * @module
 */
import { byId, h, reconcile, say } from "../lib/dom.js";
import { languageWord, nameWord } from "../lib/words.js";
import { channelBadge } from "./facts.js";

export class Consults {
  /**
   * @param {import("./model.js").Model} model
   * @param {import("./actions.js").Actions} actions
   * @param {(contact: string) => void} show
   */
  constructor(model, actions, show) {
    this.model = model;
    this.actions = actions;
    this.show = show;
    this.list = byId("consults");
    /** @type {Set<string>} */
    this.announced = new Set();
  }

  render() {
    const asked = this.model.consults;
    byId("consults-area").hidden = asked.length === 0;
    say(byId("consults-count"), asked.length ? String(asked.length) : "");
    reconcile(
      this.list,
      asked,
      (entry) => entry.contact.id,
      (entry) => this.create(entry),
      (element, entry) => this.update(element, entry),
    );
    for (const entry of asked) this.actions.ensure(entry.contact);
    this.announce(asked);
  }

  /** @param {import("./model.js").Consult} entry */
  create({ contact }) {
    return h(
      "li",
      { "data-contact": contact.id },
      h(
        "button",
        { class: "assignment", type: "button", on: { click: () => this.show(contact.id) } },
        channelBadge(contact.channel),
        h(
          "span",
          { class: "assignment-text" },
          h("strong", { "data-part": "name", dir: "auto" }),
          h("span", { class: "hint", "data-part": "facts", dir: "auto" }),
        ),
      ),
    );
  }

  /** @param {HTMLElement} element @param {import("./model.js").Consult} entry */
  update(element, { contact, owner }) {
    const find = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (element.querySelector(`[data-part="${name}"]`));
    say(find("name"), this.model.customerName(contact));
    const facts = [`${owner} asks you`, nameWord(contact.queue ?? ""), languageWord(contact.language)];
    say(find("facts"), facts.filter(Boolean).join(" · "));
    const button = /** @type {HTMLElement} */ (element.firstElementChild);
    if (this.model.open === contact.id) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }

  /** Says once that a colleague asks. @param {import("./model.js").Consult[]} asked */
  announce(asked) {
    const fresh = asked.filter((entry) => !this.announced.has(entry.contact.id));
    this.announced = new Set(asked.map((entry) => entry.contact.id));
    if (fresh.length) say(byId("announce"), `${fresh[0].owner} asks you about a contact.`);
  }
}
