/**
 * The time after a contact: how long it still runs, more of it, or done.
 * @module
 */
import { byId, fill, h, say } from "../lib/dom.js";
import { countdown, now, timeOf } from "../lib/time.js";

export class WrapUp {
  /**
   * @param {import("./model.js").Model} model
   * @param {import("./actions.js").Actions} actions
   * @param {(contact: string) => void} show
   */
  constructor(model, actions, show) {
    this.model = model;
    this.actions = actions;
    this.show = show;
    this.area = byId("wrap-up");
    /** @type {string | null} */
    this.shown = null;
  }

  get current() {
    return this.model.work?.wrap_up ?? null;
  }

  render() {
    const wrap = this.current;
    this.area.hidden = !wrap;
    if (!wrap) {
      this.shown = null;
      return;
    }
    const contact = typeof wrap.contact === "string" ? wrap.contact : wrap.contact?.id;
    const key = String(contact);
    if (this.shown !== key) {
      this.shown = key;
      const known = contact ? this.model.summaries.get(contact) : null;
      const code = h("input", {
        name: "code",
        maxlength: 64,
        autocomplete: "off",
        placeholder: "Wrap-up code",
        "aria-label": "Wrap-up code (optional)",
      });
      const form = h(
        "form",
        {},
        code,
        h(
          "div",
          { class: "wrap-up-buttons" },
          h(
            "button",
            { class: "button small", type: "button", on: { click: () => this.actions.wrapUp({ extend_s: 60 }) } },
            "1 minute more",
          ),
          h("button", { class: "button small primary", type: "submit" }, "I am done"),
        ),
      );
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const said = code.value.trim();
        void this.actions.wrapUp({ finish: true, ...(said ? { code: said } : {}) });
      });
      fill(
        this.area,
        h(
          "div",
          { class: "wrap-up-head" },
          h("h2", { id: "wrap-up-title" }, "Wrap-up"),
          h("span", { class: "wrap-up-clock numeric", "data-part": "clock", role: "timer" }),
        ),
        h(
          "p",
          { class: "hint" },
          "No new offers until you are done.",
          " ",
          known
            ? h(
                "button",
                { class: "link", type: "button", on: { click: () => this.show(contact) } },
                `Look at ${this.model.customerName(known)} again`,
              )
            : null,
        ),
        form,
      );
    }
    for (const button of this.area.querySelectorAll("button")) button.disabled = this.model.busy.has("wrap-up");
    this.tick();
  }

  tick() {
    const until = timeOf(this.current?.until);
    const clock = this.area.querySelector('[data-part="clock"]');
    if (clock && until !== null) say(clock, countdown(until - now()));
  }
}
