/**
 * What the customer's browser keeps: the session's token, and what was written but is not known to have arrived.
 * @module
 */
import { device } from "../lib/storage.js";

/** @typedef {{client_message_id: string, text: string, at: number, refused?: string}} Unsent */

export class Memory {
  /** @param {string} account */
  constructor(account) {
    this.name = `chat.${account}`;
    const kept = device.get(this.name) ?? {};
    /** @type {string | null} */
    this.token = typeof kept.token === "string" ? kept.token : null;
    /** @type {Unsent[]} */
    this.unsent = Array.isArray(kept.unsent) ? kept.unsent : [];
    /** @type {string} */
    this.draft = kept.draft ?? "";
    /** @type {{name?: string, email?: string}} */
    this.profile = kept.profile ?? {};
    /** @type {string | null} */
    this.workspace = kept.workspace ?? null;
  }

  keep() {
    device.put(this.name, {
      token: this.token,
      unsent: this.unsent,
      draft: this.draft,
      profile: this.profile,
      workspace: this.workspace,
    });
  }

  /** A new conversation; who one is stays. */
  forget() {
    this.token = null;
    this.unsent = [];
    this.keep();
  }
}
