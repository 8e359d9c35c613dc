/**
 * Questions that need an answer before something happens. Native dialogs: focus stays inside, Escape closes, focus returns.
 * @module
 */
import { byId, h } from "../lib/dom.js";
import { channelWord } from "../lib/words.js";
import { changeSettings, settings } from "./settings.js";

/**
 * Shows a form in a dialog.
 * @param {string} title
 * @param {(Node | string)[]} content
 * @param {{confirm: string, danger?: boolean, cancel?: string}} words
 * @returns {Promise<FormData | null>} the form as filled in; null if the dialog was closed
 */
export function ask(title, content, words) {
  return new Promise((resolve) => {
    const confirm = h(
      "button",
      { class: words.danger ? "button danger" : "button primary", type: "submit", value: "yes" },
      words.confirm,
    );
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      ...content,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, words.cancel ?? "Cancel"),
        confirm,
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close("yes");
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? new FormData(form) : null);
    });
    byId("dialogs").append(dialog);
    dialog.showModal();
    /** @type {HTMLElement | null} */ (form.querySelector("input, textarea, select"))?.focus();
  });
}

/** @param {boolean} unsent whether a draft would be lost */
export function askComplete(unsent) {
  return ask(
    "Complete this contact?",
    [
      unsent ? h("p", { class: "notice amber" }, "You have written a reply that is not sent yet.") : "",
      h(
        "label",
        { class: "field" },
        h("span", {}, "Wrap-up code (optional)"),
        h("input", { name: "code", maxlength: 64, autocomplete: "off", placeholder: "refund" }),
      ),
      h(
        "label",
        { class: "field" },
        h("span", {}, "Note for colleagues (optional)"),
        h("textarea", { name: "note", rows: 3, maxlength: 4000 }),
      ),
    ],
    { confirm: "Complete" },
  );
}

export function askRequeue() {
  return ask(
    "Give this contact back to its queue?",
    [
      h("p", {}, "The customer keeps their place: the waiting time goes on from when they first wrote."),
      h(
        "label",
        { class: "field" },
        h("span", {}, "Reason (optional)"),
        h("input", { name: "reason", maxlength: 200, autocomplete: "off" }),
      ),
    ],
    { confirm: "Give back" },
  );
}

export function askColleague() {
  return ask(
    "Ask a colleague",
    [
      h("p", {}, "They can read this conversation until you or they end it. It stays yours, and the customer does not notice."),
      h(
        "label",
        { class: "field" },
        h("span", {}, "Colleague"),
        h("input", { name: "agent", required: true, maxlength: 128, autocomplete: "off", autocapitalize: "off", spellcheck: "false" }),
      ),
      h(
        "label",
        { class: "field" },
        h("span", {}, "What do you want to know? (optional, the customer never sees it)"),
        h("textarea", { name: "note", rows: 3, maxlength: 4000 }),
      ),
    ],
    { confirm: "Ask" },
  );
}

/** @param {string} agent @param {boolean} unsent whether a draft would be lost */
export function askHandOver(agent, unsent) {
  return ask(
    `Hand this contact over to ${agent}?`,
    [
      unsent ? h("p", { class: "notice amber" }, "You have written a reply that is not sent yet.") : "",
      h("p", {}, "They answer the customer from now on, if they have room for it."),
    ],
    { confirm: "Hand over" },
  );
}

/** @param {string} kind */
export function askWay(kind) {
  return ask(
    `Go on by ${channelWord(kind)}?`,
    [h("p", {}, "The contact stays with you. What you write from now on reaches the customer there.")],
    { confirm: `Go on by ${channelWord(kind)}` },
  );
}

/**
 * Settings, the keys, and the way out.
 * @param {{agent: string, expires: number | null, signOut: () => void}} options
 */
export function showSettings({ agent, expires, signOut }) {
  /** @param {string} name @param {string} value @param {string} label @param {string} current */
  const radio = (name, value, label, current) =>
    h(
      "label",
      { class: "segment" },
      h("input", { type: "radio", name, value, checked: value === current }),
      h("span", {}, label),
    );
  const form = h(
    "form",
    { method: "dialog", class: "settings" },
    h("h2", { id: "settings-title" }, "Settings"),
    h(
      "p",
      { class: "hint" },
      `Signed in as ${agent}${expires ? `, until ${new Date(expires).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}` : ""}.`,
    ),
    h(
      "fieldset",
      { class: "choice" },
      h("legend", {}, "Send a reply with"),
      h(
        "div",
        { class: "segments" },
        radio("sendWith", "enter", "Enter", settings.sendWith),
        radio("sendWith", "ctrl", "Ctrl + Enter", settings.sendWith),
      ),
    ),
    h(
      "fieldset",
      { class: "choice" },
      h("legend", {}, "Appearance"),
      h(
        "div",
        { class: "segments" },
        radio("theme", "system", "System", settings.theme),
        radio("theme", "light", "Light", settings.theme),
        radio("theme", "dark", "Dark", settings.theme),
      ),
    ),
    h(
      "label",
      { class: "check" },
      h("input", { type: "checkbox", name: "badge", checked: settings.badge }),
      h("span", {}, "Count offers and unread messages in the tab's title"),
    ),
    h(
      "label",
      { class: "check" },
      h("input", { type: "checkbox", name: "shortcuts", checked: settings.shortcuts }),
      h("span", {}, "Single-key shortcuts"),
    ),
    h(
      "dl",
      { class: "keys", "aria-label": "Keys" },
      ...[
        ["A or Enter", "Accept the offer"],
        ["D", "Decline the offer"],
        ["J, K", "Next or previous contact"],
        ["R", "Write a reply"],
        ["Esc", "Leave the reply box"],
        ["?", "This window"],
      ].flatMap(([keys, meaning]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, meaning)]),
    ),
    h(
      "div",
      { class: "actions" },
      h(
        "button",
        {
          class: "button danger",
          type: "button",
          on: {
            click: () => {
              dialog.close();
              signOut();
            },
          },
        },
        "Sign out",
      ),
      h("button", { class: "button primary", type: "submit" }, "Done"),
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": "settings-title" }, form);
  form.addEventListener("change", () => {
    const data = new FormData(form);
    changeSettings({
      sendWith: /** @type {any} */ (data.get("sendWith")),
      theme: /** @type {any} */ (data.get("theme")),
      badge: data.has("badge"),
      shortcuts: data.has("shortcuts"),
    });
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  byId("dialogs").append(dialog);
  dialog.showModal();
}
