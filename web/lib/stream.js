/**
 * Server-Sent Events over `fetch`: `EventSource` cannot send the Authorization header, and a token has no business in
 * a URL. The parser follows the HTML standard's rules for `text/event-stream`.
 * @module
 */
import { Problem } from "./api.js";
import { learnClock } from "./time.js";

/** @typedef {{event: string, data: string, id: string | null}} ServerEvent */

/** Cuts text, however it is chunked, into events. */
export class EventParser {
  /** @param {(event: ServerEvent) => void} onEvent */
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = "";
    /** @type {string[]} */
    this.data = [];
    this.event = "";
    /** @type {string | null} */
    this.id = null;
    this.started = false;
  }

  /** @param {string} chunk */
  push(chunk) {
    let text = this.rest + chunk;
    if (!this.started && text) {
      if (text.startsWith("\uFEFF")) text = text.slice(1);
      this.started = true;
    }
    // A carriage return at the very end may be half of a CRLF: it waits for what follows.
    const held = text.endsWith("\r") ? 1 : 0;
    const lines = text.slice(0, text.length - held).split(/\r\n|\n|\r/);
    this.rest = (lines.pop() ?? "") + (held ? "\r" : "");
    for (const line of lines) this.line(line);
  }

  /** @param {string} line */
  line(line) {
    if (line === "") {
      if (this.data.length > 0) {
        this.onEvent({ event: this.event || "message", data: this.data.join("\n"), id: this.id });
      }
      this.data = [];
      this.event = "";
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.data.push(value);
    else if (field === "event") this.event = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}

/**
 * Reads one stream to its end. Silence longer than `silence` ms counts as a dead connection: the server sends
 * a comment well within that time.
 * @param {string} url
 * @param {object} options
 * @param {Record<string, string>} options.headers
 * @param {string | null} options.lastEventId
 * @param {(event: ServerEvent) => void} options.onEvent
 * @param {() => void} options.onOpen
 * @param {AbortSignal} options.signal
 * @param {number} [options.silence]
 */
export async function readStream(url, { headers, lastEventId, onEvent, onOpen, signal, silence = 45_000 }) {
  const watchdog = new AbortController();
  let timer = setTimeout(() => watchdog.abort(), silence);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => watchdog.abort(), silence);
  };
  try {
    const response = await fetch(url, {
      headers: { ...headers, Accept: "text/event-stream", ...(lastEventId ? { "Last-Event-ID": lastEventId } : {}) },
      signal: AbortSignal.any([signal, watchdog.signal]),
      cache: "no-store",
      credentials: "omit",
    });
    learnClock(response.headers);
    if (!response.ok || !response.body) {
      const members = await response.json().catch(() => ({}));
      throw new Problem(response.status, members);
    }
    if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
      throw new Problem(406, { detail: "The server did not answer with an event stream." });
    }
    onOpen();
    const parser = new EventParser(onEvent);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      parser.push(value);
    }
  } finally {
    clearTimeout(timer);
  }
}
