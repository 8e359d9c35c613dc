/**
 * What an agent can do, each as one call. The button rests meanwhile; a refusal is shown in the server's words.
 * @module
 */
import { Problem, randomId } from "../lib/api.js";
import { tab } from "../lib/storage.js";
import { now, pause } from "../lib/time.js";
import { askColleague, askComplete, askHandOver, askRequeue, askWay } from "./dialogs.js";
import { toast } from "./toasts.js";

const UNDELIVERED = new Set(["queued", "accepted"]);

export class Actions {
  /**
   * @param {import("./model.js").Model} model
   * @param {import("../lib/api.js").Api} api
   * @param {import("./feed.js").Feed} feed
   * @param {string} agent
   */
  constructor(model, api, feed, agent) {
    this.model = model;
    this.api = api;
    this.feed = feed;
    this.agent = agent;
    this.me = `/v1/agents/${encodeURIComponent(agent)}`;
    this.outboxName = `outbox.${agent}`;
    /** The presence to ask for next. @type {{presence: string, next?: string} | null} */
    this.wish = null;
    /** Called when a contact should be shown. @type {(contact: string, focus: boolean) => void} */
    this.onShow = () => {};
    /** Called when something the agent worked on has gone, and with it the button that had the focus. @type {(contact: string | null) => void} */
    this.onDone = () => {};
    for (const pending of tab.get(this.outboxName) ?? []) {
      // A reload does not tell whether the reply arrived; the same key makes trying again safe.
      if (pending.state !== "sent")
        this.model.outbox.push({ ...pending, state: "failed", problem: "This page was reloaded while sending." });
    }
  }

  /**
   * Runs one named action at a time.
   * @template T
   * @param {string} name
   * @param {() => Promise<T>} action
   * @returns {Promise<T | undefined>}
   */
  async once(name, action) {
    if (this.model.busy.has(name)) return undefined;
    this.model.busy.add(name);
    this.model.changed();
    try {
      return await action();
    } catch (error) {
      toast(sentence(error));
      return undefined;
    } finally {
      await this.feed.refresh();
      this.model.busy.delete(name);
      this.model.changed();
    }
  }

  /** @param {import("./model.js").Offer} offer */
  accept(offer) {
    return this.once(`offer ${offer.id}`, async () => {
      await this.api.post(`/v1/offers/${encodeURIComponent(offer.id)}/accept`, {});
      await this.feed.refresh();
      this.onShow(offer.contact.id, true);
    });
  }

  /** @param {import("./model.js").Offer} offer */
  decline(offer) {
    return this.once(`offer ${offer.id}`, async () => {
      await this.api.post(`/v1/offers/${encodeURIComponent(offer.id)}/reject`, {});
      await this.feed.refresh();
      this.onDone(null);
    });
  }

  /** @param {string} contact */
  async complete(contact) {
    const answer = await askComplete(Boolean(this.draft(contact)));
    if (!answer) return;
    const code = String(answer.get("code") ?? "").trim();
    const note = String(answer.get("note") ?? "").trim();
    await this.once(`contact ${contact}`, async () => {
      await this.api.post(`${path(contact)}/complete`, {
        ...(code ? { wrap_up_code: code } : {}),
        ...(note ? { note } : {}),
      });
      this.keepDraft(contact, "");
      await this.feed.refresh();
      this.onDone(contact);
    });
  }

  /** @param {string} contact */
  async requeue(contact) {
    const answer = await askRequeue();
    if (!answer) return;
    const reason = String(answer.get("reason") ?? "").trim();
    await this.once(`contact ${contact}`, async () => {
      await this.api.post(`${path(contact)}/requeue`, reason ? { reason } : {});
      await this.feed.refresh();
      this.onDone(contact);
    });
  }

  // Colleagues ---------------------------------------------------------------------------------------------------

  /** Asks a colleague, who reads along from then on. @param {string} contact */
  async ask(contact) {
    const answer = await askColleague();
    const agent = String(answer?.get("agent") ?? "").trim();
    if (!agent) return;
    const note = String(answer?.get("note") ?? "").trim();
    await this.once(`contact ${contact}`, () =>
      this.api.post(`${path(contact)}/consult`, { agent, ...(note ? { note } : {}) }),
    );
  }

  /** The consult of a colleague ends, or the agent's own. @param {string} contact @param {string} agent */
  endConsult(contact, agent) {
    return this.once(`contact ${contact}`, async () => {
      await this.api.delete(`${path(contact)}/consult/${encodeURIComponent(agent)}`);
      await this.feed.refresh();
      if (!this.model.holds(contact)) this.onDone(contact);
    });
  }

  /** Leaves a consult that the agent was asked into. @param {string} contact */
  leaveConsult(contact) {
    return this.endConsult(contact, this.agent);
  }

  /** The colleague who was asked takes over. @param {string} contact @param {string} agent */
  async handOver(contact, agent) {
    if (!(await askHandOver(agent, Boolean(this.draft(contact))))) return;
    await this.once(`contact ${contact}`, async () => {
      await this.api.post(`${path(contact)}/transfer`, { to_agent: agent });
      this.keepDraft(contact, "");
      await this.feed.refresh();
      this.onDone(contact);
    });
  }

  /** The agent goes on by another channel: `kind:account`. @param {string} contact @param {string} way */
  async goOnBy(contact, way) {
    const [kind, ...account] = way.split(":");
    if (!(await askWay(kind))) return;
    await this.once(`contact ${contact}`, () =>
      this.api.post(`${path(contact)}/transfer`, { to_channel: kind, account: account.join(":") }),
    );
  }

  /** Reads once what the agent was told about a contact. @param {string} contact */
  async ensureNote(contact) {
    if (this.model.notes.has(contact)) return;
    this.model.notes.set(contact, "");
    try {
      const answer = await this.api.get(`${path(contact)}/consult`);
      const own = (answer?.items ?? []).find((/** @type {any} */ item) => item.agent === this.agent);
      if (own?.note) this.model.notes.set(contact, String(own.note));
      this.model.changed();
    } catch {
      // The consult may have ended meanwhile; if not, the next look at it tries again.
      this.model.notes.delete(contact);
    }
  }

  /**
   * The last wish counts: one made while another is under way is sent after it, not dropped as a second click is.
   * @param {string} presence @param {string | null} [next]
   */
  async presence(presence, next = null) {
    this.wish = { presence, ...(next ? { next } : {}) };
    while (this.wish && !this.model.busy.has("presence")) {
      const wish = this.wish;
      this.wish = null;
      await this.once("presence", () => this.api.put(`${this.me}/presence`, wish));
    }
  }

  /** @param {{extend_s: number} | {finish: true, code?: string}} body */
  wrapUp(body) {
    return this.once("wrap-up", () => this.api.post(`${this.me}/wrap-up`, body));
  }

  // Replies ------------------------------------------------------------------------------------------------------

  /** @param {string} contact @param {string} text */
  async reply(contact, text) {
    const pending = /** @type {import("./model.js").Pending} */ ({
      key: randomId(),
      contact,
      text,
      at: now(),
      state: "sending",
    });
    this.model.outbox.push(pending);
    this.keepDraft(contact, "");
    await this.send(pending);
  }

  /** @param {import("./model.js").Pending} pending */
  async send(pending) {
    pending.state = "sending";
    pending.problem = undefined;
    this.keepOutbox();
    try {
      const answer = await this.api.post(
        `${path(pending.contact)}/messages`,
        { text: pending.text },
        { key: pending.key, tries: 5 },
      );
      pending.state = "sent";
      pending.id = answer?.id;
      await this.load(pending.contact, typeof answer?.seq === "number" ? answer.seq : undefined);
      this.model.outbox = this.model.outbox.filter((other) => other !== pending);
      void this.followDelivery(pending.contact);
    } catch (error) {
      pending.state = "failed";
      pending.problem = sentence(error);
    }
    this.keepOutbox();
  }

  /** @param {import("./model.js").Pending} pending */
  discard(pending) {
    this.model.outbox = this.model.outbox.filter((other) => other !== pending);
    this.keepOutbox();
  }

  keepOutbox() {
    tab.put(this.outboxName, this.model.outbox.length ? this.model.outbox : null);
    this.model.changed();
  }

  /** @param {string} contact @returns {string} */
  draft(contact) {
    return tab.get(`draft.${contact}`) ?? "";
  }

  /** @param {string} contact @param {string} text */
  keepDraft(contact, text) {
    tab.put(`draft.${contact}`, text || null);
  }

  // Transcripts --------------------------------------------------------------------------------------------------

  /** Reads the transcript again if the contact changed since. @param {import("./model.js").Contact} contact */
  ensure(contact) {
    const known = this.model.transcripts.get(contact.id);
    if (known && (known.loading || known.signature === this.model.signature(contact))) return;
    void this.load(contact.id);
  }

  /** @param {string} contact @param {number} [minSeq] */
  async load(contact, minSeq) {
    const summary = this.model.summaries.get(contact);
    const known = this.model.transcripts.get(contact) ?? { messages: [], signature: "", problem: null, loading: false };
    const signature = summary ? this.model.signature(summary) : "";
    this.model.transcripts.set(contact, { ...known, loading: true });
    try {
      const answer = await this.api.get(
        `${path(contact)}/messages?limit=500${minSeq === undefined ? "" : `&min_seq=${minSeq}`}`,
      );
      const messages = answer?.items ?? [];
      this.model.transcripts.set(contact, { messages, signature, problem: null, loading: false });
    } catch (error) {
      const gone = error instanceof Problem && [403, 404].includes(error.status);
      this.model.transcripts.set(contact, {
        ...known,
        loading: false,
        problem: sentence(error),
        signature: gone ? signature : known.signature,
      });
      if (!gone) {
        await pause(3000);
        const still = this.model.summaries.get(contact);
        if (still && (this.model.open === contact || this.model.holds(contact))) this.ensure(still);
      }
    }
    this.model.changed();
    // It changed while being read: once more.
    const now = this.model.summaries.get(contact);
    const got = this.model.transcripts.get(contact);
    if (now && got && !got.problem && got.signature !== this.model.signature(now)) this.ensure(now);
  }

  /**
   * A reply's fate is not part of the agent's work document, so the open conversation asks for a while, ever more rarely.
   * @param {string} contact
   */
  async followDelivery(contact) {
    for (let wait = 1000; wait < 40_000; wait *= 1.7) {
      await pause(wait);
      if (this.model.open !== contact) return;
      const messages = this.model.transcripts.get(contact)?.messages ?? [];
      if (!messages.some((message) => message.direction === "agent" && UNDELIVERED.has(message.status))) return;
      if (document.visibilityState === "visible") await this.load(contact);
    }
  }
}

/** @param {string} contact */
function path(contact) {
  return `/v1/contacts/${encodeURIComponent(contact)}`;
}

/** @param {unknown} error */
export function sentence(error) {
  return error instanceof Error ? error.message : String(error);
}
