/**
 * One conversation: the transcript, the reply box, and what can be done with the contact.
 * @module
 */
import { byId, fill, h, say, takesText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { timeOf } from "../lib/time.js";
import { channelWord, nameWord } from "../lib/words.js";
import { channelBadge, chips, showFacts } from "./facts.js";
import { settings } from "./settings.js";
import { Transcript } from "./transcript.js";

export class Conversation {
  /**
   * @param {import("./model.js").Model} model
   * @param {import("./actions.js").Actions} actions
   * @param {() => void} close
   */
  constructor(model, actions, close) {
    this.model = model;
    this.actions = actions;
    this.close = close;
    this.area = byId("conversation");
    /** @type {string | null} */
    this.shown = null;
    /** @type {Record<string, any>} */
    this.parts = {};
    this.transcript = new Transcript(actions);
    this.stick = true;
  }

  render() {
    const id = this.model.open;
    const contact = id ? this.model.summaries.get(id) : null;
    document.body.classList.toggle("reading", Boolean(contact));
    if (!id || !contact) {
      if (this.shown !== "") this.placeholder();
      return;
    }
    if (this.shown !== id) this.build(contact);
    this.actions.ensure(contact);
    this.refresh(contact);
  }

  placeholder() {
    this.shown = "";
    fill(
      this.area,
      h(
        "div",
        { class: "nothing-open" },
        h("img", { src: "/style/mark.svg", alt: "", width: 56, height: 56 }),
        h("h2", {}, "No conversation open"),
        h("p", {}, "Accept an offer, or choose one of your contacts."),
        h(
          "p",
          { class: "hint keys-hint" },
          h("kbd", {}, "A"),
          " accept",
          h("kbd", {}, "D"),
          " decline",
          h("kbd", {}, "?"),
          " all keys",
        ),
      ),
    );
  }

  /** @param {import("./model.js").Contact} contact */
  build(contact) {
    this.shown = contact.id;
    this.stick = true;
    this.transcript = new Transcript(this.actions);
    const parts = (this.parts = {
      badge: h("span", { class: "talk-badge" }),
      name: h("h1", { dir: "auto" }),
      line: h("p", { class: "hint" }),
      chips: h("div", { class: "chips" }),
      back: h(
        "button",
        {
          class: "button quiet icon back",
          type: "button",
          "aria-label": "Back to your work",
          on: { click: this.close },
        },
        icon("back"),
      ),
      ask: h(
        "button",
        { class: "button", type: "button", on: { click: () => this.actions.ask(contact.id) } },
        icon("person", 17),
        h("span", {}, "Ask"),
      ),
      colleagues: h("div", { class: "colleagues" }),
      requeue: h(
        "button",
        { class: "button", type: "button", on: { click: () => this.actions.requeue(contact.id) } },
        icon("requeue", 17),
        h("span", {}, "Give back"),
      ),
      complete: h(
        "button",
        { class: "button primary", type: "button", on: { click: () => this.actions.complete(contact.id) } },
        icon("check", 17),
        h("span", {}, "Complete"),
      ),
      scroller: h("div", { class: "scroller", tabindex: "0", "aria-label": "Transcript", role: "region" }),
      problem: h("p", { class: "notice bad", role: "alert", hidden: true }),
      latest: h(
        "button",
        { class: "button small latest", type: "button", hidden: true, on: { click: () => this.toEnd() } },
        "Newest messages",
      ),
      ended: h("p", { class: "ended", hidden: true }),
      facts: h("dl", { class: "facts" }),
      text: h("textarea", {
        id: "reply",
        rows: 1,
        "aria-label": "Your reply",
        placeholder: "Write a reply",
        maxlength: 60000,
        dir: "auto",
      }),
      send: h(
        "button",
        { class: "button primary", type: "submit", "aria-label": "Send reply" },
        icon("send", 18),
        h("span", {}, "Send"),
      ),
      hint: h("p", { class: "hint", id: "reply-hint" }),
      composer: h("form", { class: "composer" }),
    });
    parts.composer.append(h("div", { class: "composer-row" }, parts.text, parts.send), parts.hint);
    parts.text.setAttribute("aria-describedby", "reply-hint");
    parts.text.value = this.actions.draft(contact.id);
    parts.text.addEventListener("input", () => {
      this.actions.keepDraft(contact.id, parts.text.value);
      this.fit();
    });
    parts.text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event, contact.id));
    parts.composer.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.send(contact.id);
    });
    parts.scroller.append(parts.problem, this.transcript.list);
    parts.scroller.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = parts.scroller;
      this.stick = scrollHeight - scrollTop - clientHeight < 60;
      if (this.stick) parts.latest.hidden = true;
    });
    fill(
      this.area,
      h(
        "section",
        { class: "talk", "aria-label": "Conversation" },
        h(
          "header",
          { class: "talk-head" },
          parts.back,
          h(
            "div",
            { class: "talk-who" },
            h("div", { class: "talk-name" }, parts.badge, parts.name),
            parts.line,
          ),
          h("div", { class: "talk-actions" }, parts.ask, parts.requeue, parts.complete),
          parts.chips,
          parts.colleagues,
        ),
        parts.scroller,
        h("div", { class: "talk-foot" }, parts.latest, parts.ended, parts.composer),
      ),
      h(
        "aside",
        { class: "about", "aria-label": "About this contact" },
        h("h2", {}, "About this contact"),
        parts.facts,
      ),
    );
    this.fit();
  }

  /** @param {import("./model.js").Contact} contact */
  refresh(contact) {
    const { parts } = this;
    const held = this.model.holds(contact.id);
    const transcript = this.model.transcripts.get(contact.id);
    say(parts.name, this.model.customerName(contact));
    if (parts.badge.dataset.channel !== contact.channel) {
      parts.badge.dataset.channel = contact.channel ?? "";
      fill(parts.badge, channelBadge(contact.channel, 20));
    }
    const channel = [channelWord(contact.channel ?? ""), contact.account].filter(Boolean).join(" · ");
    say(parts.line, `${nameWord(contact.queue ?? "")} · ${channel}`);
    fill(parts.chips, chips(contact));
    parts.ask.hidden = parts.requeue.hidden = parts.complete.hidden = !held;
    const busy = this.model.busy.has(`contact ${contact.id}`);
    parts.ask.disabled = parts.requeue.disabled = parts.complete.disabled = busy;
    this.refreshColleagues(contact.id, busy);
    parts.composer.hidden = !held;
    parts.ended.hidden = held;
    const offered = this.model.offers.some((offer) => offer.contact.id === contact.id);
    const consult = this.model.consult(contact.id);
    say(
      parts.ended,
      offered
        ? "Accept the offer to answer."
        : consult
          ? `You read along. ${consult.owner} answers the customer.`
          : "You do not hold this contact any more.",
    );
    say(
      parts.hint,
      settings.sendWith === "enter" ? "Enter sends, Shift + Enter starts a new line." : "Ctrl + Enter sends.",
    );
    parts.problem.hidden = !transcript?.problem;
    if (transcript?.problem) say(parts.problem, transcript.problem);
    if (this.transcript.render(contact.id, transcript?.messages ?? [])) {
      if (this.stick) this.toEnd();
      else parts.latest.hidden = false;
    }
    const assignment = this.model.assignments.find((entry) => entry.contact.id === contact.id);
    showFacts(parts.facts, contact, timeOf(assignment?.since));
    if ((held || consult) && document.visibilityState === "visible") this.model.markSeen(contact);
  }

  /**
   * Whom the agent asked and by which channels they could go on; or who asked the agent, and what.
   * @param {string} id
   * @param {boolean} busy
   */
  refreshColleagues(id, busy) {
    const assignment = this.model.assignments.find((entry) => entry.contact.id === id);
    const consult = this.model.consult(id);
    if (consult?.note) void this.actions.ensureNote(id);
    const note = this.model.notes.get(id) ?? "";
    const state = JSON.stringify([assignment?.consulted, assignment?.ways, consult?.owner, note, busy]);
    if (this.parts.colleagues.dataset.state === state) return;
    this.parts.colleagues.dataset.state = state;
    const button = (/** @type {string} */ words, /** @type {() => void} */ act, /** @type {string} */ name = words) =>
      h(
        "button",
        { class: "button small", type: "button", disabled: busy, "aria-label": name, on: { click: act } },
        words,
      );
    fill(
      this.parts.colleagues,
      (assignment?.consulted ?? []).map((agent) =>
        h(
          "p",
          { class: "colleague", "data-agent": agent },
          icon("person", 15),
          h("span", { dir: "auto" }, `${agent} reads along`),
          button("Hand over", () => this.actions.handOver(id, agent), `Hand over to ${agent}`),
          button("End", () => this.actions.endConsult(id, agent), `End the consult of ${agent}`),
        ),
      ),
      consult &&
        h(
          "p",
          { class: "colleague asked" },
          icon("person", 15),
          h("span", { dir: "auto" }, note ? `${consult.owner} asks you: ${note}` : `${consult.owner} asks you`),
          button("Leave", () => this.actions.leaveConsult(id), "Leave the consult"),
        ),
      (assignment?.ways ?? []).map((way) => {
        const [kind] = way.split(":");
        return button(`Go on by ${channelWord(kind)}`, () => this.actions.goOnBy(id, way));
      }),
    );
  }

  /** @param {KeyboardEvent} event @param {string} contact */
  key(event, contact) {
    if (event.key === "Escape") {
      /** @type {HTMLElement} */ (event.target).blur();
      this.area.focus();
      return;
    }
    // While an input method composes a word, Enter belongs to it (Chinese, Japanese, Korean).
    if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
    const modified = event.ctrlKey || event.metaKey;
    if (modified || (settings.sendWith === "enter" && !event.shiftKey && !event.altKey)) {
      event.preventDefault();
      this.send(contact);
    }
  }

  /** @param {string} contact */
  send(contact) {
    const text = this.parts.text.value.trim();
    if (!text) return;
    this.parts.text.value = "";
    this.fit();
    this.stick = true;
    void this.actions.reply(contact, text);
  }

  /** The box grows with the text, up to a third of the window. */
  fit() {
    const box = this.parts.text;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight + 2, innerHeight / 3)}px`;
  }

  toEnd() {
    this.parts.latest.hidden = true;
    this.parts.scroller.scrollTop = this.parts.scroller.scrollHeight;
  }

  focusReply() {
    if (this.parts.text && !this.parts.composer.hidden && !takesText(document.activeElement)) this.parts.text.focus();
  }
}
