/**
 * What was said: messages by day, replies with how far they got, and replies that are still being sent.
 * @module
 */
import { fill, h, reconcile, say } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { clockTime, dayName, sameDay, timeOf } from "../lib/time.js";
import { DELIVERY } from "../lib/words.js";

/** @typedef {{key: string, day?: string, message?: any, pending?: import("./model.js").Pending}} Row */

export class Transcript {
  /** @param {import("./actions.js").Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.list = h("ol", { class: "messages", role: "log", "aria-label": "Messages", "aria-relevant": "additions" });
  }

  /**
   * Shows these messages, and behind them what is still on its way.
   * @param {string} contact
   * @param {any[]} messages
   * @returns {boolean} whether there are more or fewer of them than before
   */
  render(contact, messages) {
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
    for (const pending of this.actions.model.outbox) {
      if (pending.contact !== contact) continue;
      const arrived = messages.find((message) => !claimed.has(message.id) && isOf(pending, message));
      if (arrived) claimed.add(arrived.id);
      else row(pending.at, { key: `p ${pending.key}`, pending });
    }
    const count = this.list.childElementCount;
    reconcile(
      this.list,
      rows,
      (entry) => entry.key,
      (entry) => this.create(entry),
      (element, entry) => this.update(element, entry),
    );
    return this.list.childElementCount !== count;
  }

  /** @param {Row} entry */
  create({ day, message, pending }) {
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
  update(element, { day, message, pending }) {
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
    element.classList.toggle("failed", message.status === "failed" || message.status === "rejected");
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
