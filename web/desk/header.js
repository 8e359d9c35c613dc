/**
 * The bar on top: connection, load, presence.
 * @module
 */
import { byId, fill, h, say } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { presenceWord } from "../lib/words.js";
import { loadOf } from "./model.js";

/** @type {Record<string, {word: string, tone: string, hint: string}>} */
const CONNECTION = {
  connecting: { word: "Connecting", tone: "amber", hint: "The desk is connecting." },
  live: { word: "Live", tone: "good", hint: "Changes show at once." },
  polling: {
    word: "Live",
    tone: "good",
    hint: "Event streams do not get through here; the desk asks again and again instead.",
  },
  reconnecting: {
    word: "Reconnecting",
    tone: "bad",
    hint: "The connection broke. The desk tries again by itself; what you wrote is kept.",
  },
};

export class Header {
  /** @param {import("./model.js").Model} model @param {import("./actions.js").Actions} actions */
  constructor(model, actions) {
    this.model = model;
    this.actions = actions;
    this.built = "";
    /** A change of presence was under way when this was drawn last. */
    this.asked = false;
  }

  render() {
    this.connection();
    this.load();
    this.presence();
  }

  connection() {
    const { word, tone, hint } = CONNECTION[this.model.connection];
    const area = byId("connection");
    if (area.dataset.state === this.model.connection) return;
    area.dataset.state = this.model.connection;
    area.title = hint;
    fill(area, h("span", { class: `dot ${tone}`, "aria-hidden": "true" }), h("span", {}, word));
  }

  load() {
    const area = byId("load");
    area.hidden = !this.model.work;
    if (!this.model.work) return;
    const { used, total } = loadOf(this.model.work);
    const words = total ? `${figure(used)} of ${figure(total)}` : figure(used);
    if (area.dataset.state === words) return;
    area.dataset.state = words;
    const bar = h(
      "span",
      {
        class: total && used > total ? "load-bar over" : "load-bar",
        role: "meter",
        "aria-label": "Your load",
        "aria-valuemin": 0,
        "aria-valuemax": total,
        "aria-valuenow": used,
        "aria-valuetext": words,
      },
      h("span", {}),
    );
    fill(
      area,
      h(
        "span",
        { class: "load-words", "aria-hidden": "true" },
        h("span", { class: "load-label" }, "Load "),
        h("span", { class: "numeric" }, words),
      ),
      bar,
    );
    /** @type {HTMLElement} */ (bar.firstElementChild).style.inlineSize =
      `${total ? Math.min(100, (used / total) * 100) : 0}%`;
  }

  presence() {
    const area = byId("presence");
    const work = this.model.work;
    const current = work?.presence ?? "";
    const names = ["available", "away", "offline"];
    if (current && !names.includes(current)) names.push(current);
    const wanted = names.join(" ");
    if (this.built !== wanted) {
      this.built = wanted;
      const segments = names.map((name) =>
        h(
          "label",
          { class: `segment ${name}` },
          h("input", { type: "radio", name: "presence", value: name }),
          h("span", {}, h("span", { class: "dot", "aria-hidden": "true" }), presenceWord(name)),
        ),
      );
      const next = h(
        "select",
        { class: "next", "aria-label": "When you have nothing left to do" },
        h("option", { value: "" }, "then stay"),
        h("option", { value: "away" }, "then Away"),
        h("option", { value: "offline" }, "then Offline"),
      );
      next.addEventListener("change", () =>
        this.actions.presence(this.model.work?.presence ?? "available", next.value || null),
      );
      const choices = h("div", { class: "segments" }, ...segments);
      choices.addEventListener("change", (/** @type {Event} */ event) =>
        this.actions.presence(/** @type {HTMLInputElement} */ (event.target).value),
      );
      area.replaceChildren(area.firstElementChild, choices, next);
    }
    const asking = this.model.busy.has("presence") || this.actions.wish !== null;
    for (const input of area.querySelectorAll("input")) {
      if (!asking) input.checked = input.value === current;
    }
    const next = /** @type {HTMLSelectElement} */ (area.querySelector(".next"));
    next.hidden = current !== "available" || (work?.assignments ?? []).length === 0;
    // A list that somebody looks through is left alone, but an answer shows what holds, also if it is a refusal.
    if (!asking && (this.asked || document.activeElement !== next)) next.value = work?.next_presence ?? "";
    this.asked = asking;
  }
}

/** Units without needless digits. @param {number} value */
function figure(value) {
  return String(Math.round(value * 10) / 10);
}

/** Lines across the whole desk: not reachable, sign-in ending. @param {string | null} text @param {"bad" | "amber"} [tone] */
export function banner(text, tone = "amber") {
  const area = byId("banner");
  area.hidden = !text;
  if (!text || area.textContent === text) return;
  area.className = `banner notice ${tone}`;
  fill(area, icon("alert", 18), h("p", {}));
  say(area.lastElementChild, text);
}
