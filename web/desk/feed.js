/**
 * The agent's work as it changes: the event stream, resumed after a break; long polling where streams do not get
 * through (some proxies hold them back). Either way the same documents come out.
 * @module
 */
import { Problem } from "../lib/api.js";
import { readStream } from "../lib/stream.js";
import { backoff, pause } from "../lib/time.js";

/** @typedef {"connecting" | "live" | "polling" | "reconnecting"} Connection */

const FAILURES_BEFORE_POLLING = 3;
const POLLS_BEFORE_STREAMING = 8;

export class Feed {
  /**
   * @param {import("../lib/api.js").Api} api
   * @param {string} agent
   * @param {{onWork: (work: any) => void, onConnection: (state: Connection) => void, onSaves: (saves: boolean) => void, onProblem: (problem: Problem) => void}} listeners
   */
  constructor(api, agent, listeners) {
    this.api = api;
    this.path = `/v1/agents/${encodeURIComponent(agent)}`;
    this.listeners = listeners;
    /** @type {string | null} */
    this.lastEventId = null;
    this.seq = -1;
    this.failures = 0;
    /** Ends a pause early, when the browser is back on the network. */
    this.nudge = new AbortController();
  }

  /** Runs until the signal fires or the server refuses the desk for good. @param {AbortSignal} signal */
  async run(signal) {
    const wake = () => this.nudge.abort();
    addEventListener("online", wake);
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        try {
          if (this.failures >= FAILURES_BEFORE_POLLING) await this.poll(signal);
          else await this.stream(signal);
        } catch (error) {
          if (signal.aborted) return;
          if (error instanceof Problem && [401, 403, 404].includes(error.status)) {
            if (error.status === 401) this.api.onRefused();
            this.listeners.onProblem(error);
            return;
          }
        }
        if (signal.aborted) return;
        this.listeners.onConnection("reconnecting");
        this.nudge = new AbortController();
        await pause(backoff(this.failures), this.nudge.signal);
        this.failures += 1;
      }
    } finally {
      removeEventListener("online", wake);
    }
  }

  /** @param {AbortSignal} signal */
  async stream(signal) {
    await readStream(`${this.path}/events`, {
      headers: this.api.headers(),
      lastEventId: this.lastEventId,
      signal,
      onOpen: () => {
        this.listeners.onSaves(true);
        this.listeners.onConnection("live");
      },
      onEvent: (event) => {
        this.failures = 0;
        if (event.id) this.lastEventId = event.id;
        if (event.event === "reauth") this.api.onRefused();
        if (event.event === "service") this.listeners.onSaves(JSON.parse(event.data).saves !== false);
        if (event.event !== "work" && event.event !== "reset") return;
        this.take(JSON.parse(event.data), event.event === "reset");
      },
    });
  }

  /** A while by long poll, then the stream gets another chance. @param {AbortSignal} signal */
  async poll(signal) {
    for (let round = 0; round < POLLS_BEFORE_STREAMING && !signal.aborted; round += 1) {
      const query = this.seq < 0 ? "" : `?wait=25&after=${this.seq}`;
      this.take(await this.api.get(`${this.path}/work${query}`, { signal, tries: 1, timeout: 35_000 }), false);
      this.listeners.onConnection("polling");
    }
    this.failures = 0;
    this.lastEventId = null;
  }

  /** The work as it is now: after an own action, should the stream be late. */
  async refresh() {
    try {
      this.take(await this.api.get(`${this.path}/work`), false);
    } catch {
      // The feed itself tells about a lost connection.
    }
  }

  /** @param {any} work @param {boolean} anew */
  take(work, anew) {
    const seq = typeof work?.seq === "number" ? work.seq : this.seq;
    if (!anew && seq < this.seq) return;
    this.seq = seq;
    this.listeners.onWork(work);
  }
}
