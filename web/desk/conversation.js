/**
 * One conversation: the transcript, the reply box, and what can be done with the contact.
 * @module
 */
import { byId, fill, h, reconcile, say, takesText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { clockTime, dayName, duration, now, sameDay, timeOf } from "../lib/time.js";
import { channelWord, DELIVERY, languageWord, nameWord } from "../lib/words.js";
import { channelBadge, chips } from "./facts.js";
import { settings } from "./settings.js";

/** @typedef {{key: string, day?: string, message?: any, pending?: import("./model.js").Pending}} Row */

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
    const parts = (this.parts = {
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
      list: h("ol", { class: "messages", role: "log", "aria-label": "Messages", "aria-relevant": "additions" }),
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
    parts.scroller.append(parts.problem, parts.list);
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
            h("div", { class: "talk-name" }, channelBadge(contact.channel, 20), parts.name),
            parts.line,
          ),
          h("div", { class: "talk-actions" }, parts.requeue, parts.complete),
          parts.chips,
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
    const channel = [channelWord(contact.channel ?? ""), contact.account].filter(Boolean).join(" · ");
    say(parts.line, `${nameWord(contact.queue ?? "")} · ${channel}`);
    fill(parts.chips, chips(contact));
    parts.requeue.hidden = parts.complete.hidden = !held;
    const busy = this.model.busy.has(`contact ${contact.id}`);
    parts.requeue.disabled = parts.complete.disabled = busy;
    parts.composer.hidden = !held;
    parts.ended.hidden = held;
    const offered = this.model.offers.some((offer) => offer.contact.id === contact.id);
    say(parts.ended, offered ? "Accept the offer to answer." : "You do not hold this contact any more.");
    say(
      parts.hint,
      settings.sendWith === "enter" ? "Enter sends, Shift + Enter starts a new line." : "Ctrl + Enter sends.",
    );
    parts.problem.hidden = !transcript?.problem;
    if (transcript?.problem) say(parts.problem, transcript.problem);
    this.messages(contact, transcript?.messages ?? []);
    this.facts(contact);
    if (held && document.visibilityState === "visible") this.model.markSeen(contact);
  }

  /** @param {import("./model.js").Contact} contact @param {any[]} messages */
  messages(contact, messages) {
    /** @type {Row[]} */
    const rows = [];
    let before = 0;
    const row = (/** @type {number} */ at, /** @type {Row} */ made) => {
      if (!sameDay(at, before)) rows.push({ key: `day ${new Date(at).toDateString()}`, day: dayName(at) });
      before = at;
      rows.push(made);
    };
    for (const message of messages) row(timeOf(message.at) ?? before, { key: `m ${message.id}`, message });
    /** @type {Set<string>} */
    const claimed = new Set();
    for (const pending of this.model.outbox) {
      if (pending.contact !== contact.id) continue;
      const arrived = messages.find((message) => !claimed.has(message.id) && isOf(pending, message));
      if (arrived) claimed.add(arrived.id);
      else row(pending.at, { key: `p ${pending.key}`, pending });
    }
    const count = this.parts.list.childElementCount;
    reconcile(
      this.parts.list,
      rows,
      (entry) => entry.key,
      (entry) => this.createRow(entry),
      (element, entry) => this.updateRow(element, entry),
    );
    if (this.parts.list.childElementCount !== count) {
      if (this.stick) this.toEnd();
      else this.parts.latest.hidden = false;
    }
  }

  /** @param {Row} entry */
  createRow({ day, message, pending }) {
    if (day) return h("li", { class: "day" }, h("span", {}, day));
    const own = Boolean(pending) || message.direction === "agent";
    return h(
      "li",
      { class: own ? "message own" : "message" },
      h(
        "div",
        { class: "bubble" },
        h("p", { class: "subject", "data-part": "subject", dir: "auto" }),
        h("p", { class: "text", "data-part": "text", dir: "auto" }),
        h("ul", { class: "files", "data-part": "files" }),
      ),
      h("p", { class: "meta", "data-part": "meta" }),
    );
  }

  /** @param {HTMLElement} element @param {Row} entry */
  updateRow(element, { day, message, pending }) {
    if (day) return;
    const find = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (element.querySelector(`[data-part="${name}"]`));
    if (pending) {
      say(find("text"), pending.text);
      element.classList.toggle("failed", pending.state === "failed");
      const again = () => this.actions.send(pending);
      const drop = () => this.actions.discard(pending);
      const signature = `${pending.state} ${pending.problem ?? ""}`;
      if (element.dataset.state === signature) return;
      element.dataset.state = signature;
      if (pending.state === "failed") {
        fill(
          find("meta"),
          icon("alert", 14),
          h("span", {}, `Not sent. ${pending.problem ?? ""}`),
          h("button", { class: "button small", type: "button", on: { click: again } }, "Try again"),
          h("button", { class: "button small quiet", type: "button", on: { click: drop } }, "Discard"),
        );
      } else {
        fill(find("meta"), icon("clock", 14), h("span", {}, "Sending"));
      }
      return;
    }
    const subject = find("subject");
    say(subject, message.subject ?? "");
    subject.hidden = !message.subject;
    say(find("text"), words(message));
    element.classList.toggle("aside-kind", message.erased || ["unsend", "reaction", "postback"].includes(message.kind));
    fill(
      find("files"),
      (message.attachments ?? []).map((/** @type {any} */ file) =>
        h("li", {}, `${file.name ?? "file"} (${file.mime ?? "?"})`),
      ),
    );
    const signature = JSON.stringify([message.status, message.at, message.kind, message.channel]);
    if (element.dataset.state === signature) return;
    element.dataset.state = signature;
    fill(find("meta"), ...this.meta(message));
    element.classList.toggle("failed", message.status === "failed");
  }

  /** @param {any} message */
  meta(message) {
    const at = timeOf(message.at);
    const author = message.direction === "agent" ? (message.author_name ?? message.author) : null;
    const words = [author, message.kind === "edit" ? "edited" : "", at === null ? "" : clockTime(at)]
      .filter(Boolean)
      .join(" · ");
    const delivery = message.direction === "agent" ? DELIVERY[message.status] : null;
    return [
      h("time", at === null ? {} : { datetime: new Date(at).toISOString() }, words),
      delivery
        ? h(
            "span",
            { class: `delivery ${message.status}` },
            icon(delivery.icon, 14),
            h("span", {}, delivery.word, message.status === "failed" && message.detail ? `: ${message.detail}` : ""),
          )
        : null,
    ];
  }

  /** @param {import("./model.js").Contact} contact */
  facts(contact) {
    const since = timeOf(contact.enqueued_at);
    const assignment = this.model.assignments.find((entry) => entry.contact.id === contact.id);
    const taken = timeOf(assignment?.since);
    const confidence = /** @type {any} */ (contact).language_confidence;
    /** @type {[string, string][]} */
    const facts = [
      ["Channel", [channelWord(contact.channel ?? ""), contact.account].filter(Boolean).join(", ")],
      ["Queue", nameWord(contact.queue ?? "")],
      [
        "Language",
        languageWord(contact.language) +
          (typeof confidence === "number" ? ` (${Math.round(confidence * 100)} % sure)` : ""),
      ],
      [
        "Needs",
        Object.entries(contact.skills ?? {})
          .map(([skill, level]) => `${nameWord(skill)} ${level}`)
          .join(", ") || "no special skill",
      ],
      [
        "Waited",
        since !== null && taken !== null ? duration(taken - since) : since !== null ? duration(now() - since) : "–",
      ],
      ["With you", taken === null ? "–" : `since ${clockTime(taken)}`],
      ...(contact.redirects ?? []).map(
        (redirect) =>
          /** @type {[string, string]} */ ([
            "Moved",
            `to ${channelWord(redirect.channel)}${redirect.rule ? ` (${nameWord(redirect.rule)})` : ""}`,
          ]),
      ),
      ["Contact", contact.id],
    ];
    const signature = JSON.stringify(facts);
    if (this.parts.facts.dataset.state === signature) return;
    this.parts.facts.dataset.state = signature;
    fill(
      this.parts.facts,
      facts.flatMap(([term, value]) => [
        h("dt", {}, term),
        h("dd", { class: term === "Contact" ? "id" : null, dir: "auto" }, value),
      ]),
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

/**
 * Whether a line of the transcript is what is still being sent: the stream may show it before the call is answered, and
 * after a lost answer it long has.
 * @param {import("./model.js").Pending} pending
 * @param {any} message
 */
function isOf(pending, message) {
  if (pending.id) return pending.id === message.id;
  return (
    message.direction === "agent" &&
    pending.state === "sending" &&
    message.text === pending.text.normalize("NFC") &&
    (timeOf(message.at) ?? 0) >= pending.at - 5000
  );
}

/** What stands in a message's bubble. @param {any} message */
function words(message) {
  if (message.kind === "unsend") return "The customer took this message back.";
  if (message.erased) return "This text was erased.";
  return message.text ?? "";
}
