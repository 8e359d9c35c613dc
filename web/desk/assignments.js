/**
 * The contacts the agent holds.
 * @module
 */
import { byId, h, reconcile, say } from "../lib/dom.js";
import { duration, now, timeOf } from "../lib/time.js";
import { languageWord, nameWord, plural } from "../lib/words.js";
import { channelBadge } from "./facts.js";

export class Assignments {
  /**
   * @param {import("./model.js").Model} model
   * @param {import("./actions.js").Actions} actions
   * @param {(contact: string) => void} show
   */
  constructor(model, actions, show) {
    this.model = model;
    this.actions = actions;
    this.show = show;
    this.list = byId("assignments");
  }

  render() {
    const held = this.model.assignments;
    say(byId("assignments-count"), held.length ? String(held.length) : "");
    byId("assignments-empty").hidden = held.length > 0;
    reconcile(
      this.list,
      held,
      // Whoever goes on by another channel has another badge.
      (entry) => `${entry.contact.id} ${entry.contact.channel}`,
      (entry) => this.create(entry),
      (element, entry) => this.update(element, entry),
    );
    for (const entry of held) this.actions.ensure(entry.contact);
    this.tick();
  }

  /** @param {import("./model.js").Assignment} entry */
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
          h(
            "span",
            { class: "assignment-top" },
            h("strong", { "data-part": "name", dir: "auto" }),
            h("span", { class: "hint numeric", "data-part": "age" }),
          ),
          h("span", { class: "assignment-line", "data-part": "line", dir: "auto" }),
          h("span", { class: "hint", "data-part": "facts" }),
        ),
        h("span", { class: "unread numeric", "data-part": "unread" }),
      ),
    );
  }

  /** @param {HTMLElement} element @param {import("./model.js").Assignment} entry */
  update(element, { contact, parked }) {
    const find = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (element.querySelector(`[data-part="${name}"]`));
    say(find("name"), this.model.customerName(contact));
    const last = this.model.transcripts.get(contact.id)?.messages.at(-1);
    say(
      find("line"),
      last ? `${last.direction === "agent" ? "You: " : ""}${last.text || last.subject || "(no text)"}` : "",
    );
    say(
      find("facts"),
      [nameWord(contact.queue ?? ""), languageWord(contact.language), parked ? "parked" : ""]
        .filter(Boolean)
        .join(" · "),
    );
    const open = this.model.open === contact.id;
    const unread = open ? 0 : this.model.unread(contact);
    const badge = find("unread");
    badge.hidden = unread === 0;
    if (unread) {
      badge.textContent = String(unread);
      badge.setAttribute("aria-label", plural(unread, "unread message"));
    }
    const button = /** @type {HTMLElement} */ (element.firstElementChild);
    if (open) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }

  tick() {
    for (const { contact, since } of this.model.assignments) {
      const element = this.list.querySelector(`[data-contact="${CSS.escape(contact.id)}"] [data-part="age"]`);
      const at = timeOf(contact.last_message_at) ?? timeOf(since);
      if (element && at !== null) say(element, duration(now() - at));
    }
  }
}
