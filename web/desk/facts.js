/**
 * A contact's facts as small labelled chips; the same on an offer, in the list and above a conversation.
 * @module
 */
import { h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
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
    { class: "chip amber", title: "A rule moved this contact because its channel was not available" },
    icon("redirect", 13),
    from ? `From ${channelWord(from)}` : "Redirected",
  );
}
