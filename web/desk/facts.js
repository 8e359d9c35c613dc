/**
 * A contact's facts as small labelled chips; the same on an offer, in the list and above a conversation.
 * @module
 */
import { fill, h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { clockTime, duration, now, timeOf } from "../lib/time.js";
import { channelIcon, channelWord, languageWord, nameWord } from "../lib/words.js";

/** @param {string | undefined} channel @param {number} [size] */
export function channelBadge(channel, size = 18) {
  const kind = channelIcon(channel ?? "");
  return h(
    "span",
    { class: `channel ${kind}`, title: channelWord(channel ?? "") },
    icon(kind, size),
    h("span", { class: "visually-hidden" }, channelWord(channel ?? "")),
  );
}

/** @param {import("./model.js").Contact} contact */
export function chips(contact) {
  return [
    h("span", { class: "chip" }, icon("globe", 13), languageWord(contact.language)),
    ...Object.entries(contact.skills ?? {}).map(([skill, level]) =>
      h("span", { class: "chip", title: `Needs ${nameWord(skill)} at level ${level}` }, `${nameWord(skill)} ${level}`),
    ),
    contact.priority
      ? h(
          "span",
          { class: contact.priority > 0 ? "chip amber" : "chip" },
          `Priority ${contact.priority > 0 ? "+" : ""}${contact.priority}`,
        )
      : null,
    redirectChip(contact),
  ];
}

/** @param {import("./model.js").Contact} contact */
function redirectChip(contact) {
  const last = contact.redirects?.at(-1);
  if (!last) return null;
  const from = last.from;
  return h(
    "span",
    {
      class: "chip amber",
      title:
        last.rule === "transfer"
          ? "Its agent went on by another channel"
          : "A rule moved this contact because its channel was not available",
    },
    icon("redirect", 13),
    from ? `From ${channelWord(from)}` : "Redirected",
  );
}

/**
 * Everything that is known of a contact, as a list of terms.
 * @param {HTMLElement} list
 * @param {import("./model.js").Contact} contact
 * @param {number | null} taken when the agent took it
 */
export function showFacts(list, contact, taken) {
  const since = timeOf(contact.enqueued_at);
  /** @type {[string, string][]} */
  const facts = [
    ["Channel", [channelWord(contact.channel ?? ""), contact.account].filter(Boolean).join(", ")],
    ["Queue", nameWord(contact.queue ?? "")],
    ["Language", languageWord(contact.language)],
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
          `from ${channelWord(redirect.from)} to ${channelWord(redirect.channel)}`,
        ]),
    ),
    ["Contact", contact.id],
  ];
  const signature = JSON.stringify(facts);
  if (list.dataset.state === signature) return;
  list.dataset.state = signature;
  fill(
    list,
    facts.flatMap(([term, value]) => [
      h("dt", {}, term),
      h("dd", { class: term === "Contact" ? "id" : null, dir: "auto" }, value),
    ]),
  );
}
