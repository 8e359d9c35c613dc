/**
 * What the desk knows, and what it makes of it. One object, one way to change it (`change`), one listener: the page.
 * @module
 */
import { timeOf } from "../lib/time.js";
import { tab } from "../lib/storage.js";

/**
 * @typedef {object} Contact a contact's summary, as offers and assignments carry it
 * @property {string} id
 * @property {string} [channel]
 * @property {string} [account]
 * @property {string} [queue]
 * @property {string} [language]
 * @property {Record<string, number>} [skills]
 * @property {number} [priority]
 * @property {string} [state]
 * @property {string | number} [enqueued_at]
 * @property {string} [customer]
 * @property {number} [messages]
 * @property {number} [last_message_seq]
 * @property {string | number} [last_message_at]
 * @property {{from: string, channel: string, rule?: string}[]} [redirects]
 */

/** @typedef {{id: string, contact: Contact, expires_at: string | number, made_at?: string | number}} Offer */
/** @typedef {{contact: Contact, since: string | number, parked?: boolean, consulted?: string[], ways?: string[]}} Assignment */
/** @typedef {{contact: Contact, owner: string, note?: boolean}} Consult */
/** @typedef {{key: string, contact: string, text: string, at: number, state: "sending" | "failed" | "sent", problem?: string, id?: string}} Pending */

export class Model {
  constructor() {
    /** @type {import("./feed.js").Connection} */
    this.connection = "connecting";
    /** Whether the service takes what is said here. */
    this.saves = true;
    /** @type {any} */
    this.work = null;
    /** @type {string} */
    this.agentName = "";
    /** The contact in the pane, and its last known summary (it outlives the assignment, so that one can read on). */
    /** @type {string | null} */
    this.open = null;
    /** @type {Map<string, Contact>} */
    this.summaries = new Map();
    /** @type {Map<string, {messages: any[], signature: string, problem: string | null, loading: boolean}>} */
    this.transcripts = new Map();
    /** What the agent was told about the contacts of others, by contact. @type {Map<string, string>} */
    this.notes = new Map();
    /** @type {Pending[]} */
    this.outbox = [];
    /** Names of actions under way: their buttons rest. @type {Set<string>} */
    this.busy = new Set();
    /** When each offer was first seen here, and its whole time. @type {Map<string, {at: number, span: number}>} */
    this.offerTimes = new Map();
    /** @type {Record<string, number>} */
    this.seen = tab.get("seen") ?? {};
    /** @type {() => void} */
    this.onChange = () => {};
    this.scheduled = false;
  }

  /** Tells the page once per frame, however many changes there were. */
  changed() {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.onChange();
    });
  }

  /** @returns {Offer[]} soonest to expire first */
  get offers() {
    return [...(this.work?.offers ?? [])].sort((a, b) => (timeOf(a.expires_at) ?? 0) - (timeOf(b.expires_at) ?? 0));
  }

  /** @returns {Assignment[]} the longest held first: places do not jump */
  get assignments() {
    return [...(this.work?.assignments ?? [])].sort((a, b) => (timeOf(a.since) ?? 0) - (timeOf(b.since) ?? 0));
  }

  /** @returns {Consult[]} in the order in which they were asked */
  get consults() {
    return this.work?.consults ?? [];
  }

  /** @param {string} id */
  consult(id) {
    return this.consults.find((consult) => consult.contact.id === id);
  }

  /** @param {string} id */
  holds(id) {
    return this.assignments.some((assignment) => assignment.contact.id === id);
  }

  /** Changes whenever the transcript must be read again. @param {Contact} contact */
  signature(contact) {
    return `${contact.messages ?? ""}:${contact.last_message_seq ?? ""}:${contact.last_message_at ?? ""}`;
  }

  /** @param {Contact} contact */
  unread(contact) {
    return Math.max(0, (contact.messages ?? 0) - (this.seen[contact.id] ?? 0));
  }

  /** @param {Contact} contact */
  markSeen(contact) {
    const count = contact.messages ?? 0;
    if (this.seen[contact.id] === count) return;
    this.seen[contact.id] = count;
    tab.put("seen", this.seen);
  }

  /** @param {any} work @param {number} now */
  take(work, now) {
    this.work = work;
    const live = new Set();
    for (const id of this.notes.keys()) if (!this.consult(id)) this.notes.delete(id);
    for (const entry of [...this.offers, ...this.assignments, ...this.consults]) {
      if (entry.contact) this.summaries.set(entry.contact.id, entry.contact);
    }
    for (const offer of this.offers) {
      live.add(offer.id);
      if (!this.offerTimes.has(offer.id)) {
        const from = timeOf(offer.made_at) ?? now;
        this.offerTimes.set(offer.id, {
          at: Date.now(),
          span: Math.max(1000, (timeOf(offer.expires_at) ?? now) - from),
        });
      }
    }
    for (const id of this.offerTimes.keys()) if (!live.has(id)) this.offerTimes.delete(id);
    this.changed();
  }

  /** The first line a customer wrote, for the offer's card. @param {string} contact */
  preview(contact) {
    const first = this.transcripts
      .get(contact)
      ?.messages.find((message) => message.direction === "customer" && (message.text || message.subject));
    return first ? String(first.subject || first.text) : "";
  }

  /** The customer's name as far as the desk knows one. @param {Contact} contact */
  customerName(contact) {
    for (const message of this.transcripts.get(contact.id)?.messages ?? []) {
      const name = message.direction === "customer" && message.author_name;
      if (name) return String(name);
    }
    return `Customer ${String(contact.customer ?? contact.id).slice(-4)}`;
  }
}

/** Used and whole capacity, in units. @param {any} work */
export function loadOf(work) {
  const held = (work?.assignments?.length ?? 0) + (work?.offers?.length ?? 0);
  return { used: work?.load?.used ?? held, total: work?.capacity?.total ?? 0 };
}
