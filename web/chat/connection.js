/**
 * The road to the chat service: a WebSocket that comes back by itself, and plain HTTP where sockets do not get through.
 * Either way every line comes once and in order: both resume behind the last `seq`.
 * @module
 */
import { Api, Problem } from "../lib/api.js";
import { backoff, pause } from "../lib/time.js";

const SOCKETS_BEFORE_HTTP = 2;
const HELLO_MS = 10_000;
const SILENCE_MS = 65_000;
const ACK_MS = 15_000;

/** @typedef {"idle" | "connecting" | "live" | "offline"} Link */
/** @typedef {{seq: number, id: string, direction: "customer" | "agent", text: string, at: string, author?: string, client_message_id?: string}} Line */

/**
 * @typedef {object} Listeners
 * @property {(link: Link) => void} onLink
 * @property {(welcome: {session?: string, workspace?: string, resumed: boolean}) => void} onWelcome
 * @property {(line: Line) => void} onLine
 * @property {(state: any) => void} onState
 * @property {(clientId: string, id: string) => void} onAck
 * @property {(clientId: string, detail: string) => void} onRefused a message can never be taken as it is
 * @property {(detail: string) => void} onStopped connecting makes no sense until the customer changes something
 * @property {() => void} onTyping
 */

export class Connection {
  /**
   * @param {string} account
   * @param {import("./memory.js").Memory} memory
   * @param {Listeners} listeners
   */
  constructor(account, memory, listeners) {
    this.path = `/chat/${encodeURIComponent(account)}`;
    this.memory = memory;
    this.listeners = listeners;
    this.lastSeq = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.http = false;
    this.socketFailures = 0;
    this.attempt = 0;
    this.running = false;
    /** @type {Map<string, number>} when each message was handed to the socket */
    this.handed = new Map();
    this.stopping = new AbortController();
    this.nudge = new AbortController();
    addEventListener("online", () => this.nudge.abort());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.nudge.abort());
  }

  /** Connects and stays connected until `stop`. */
  async start() {
    if (this.running) return;
    this.running = true;
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    while (!signal.aborted) {
      this.listeners.onLink("connecting");
      const useSocket = this.socketFailures < SOCKETS_BEFORE_HTTP;
      const worked = useSocket ? await this.overSocket(signal) : await this.overHttp(signal);
      if (signal.aborted) break;
      this.listeners.onLink("offline");
      if (useSocket) this.socketFailures = worked ? 0 : this.socketFailures + 1;
      else this.socketFailures = 0;
      this.attempt = worked ? 0 : this.attempt + 1;
      this.nudge = new AbortController();
      await pause(backoff(this.attempt), AbortSignal.any([this.nudge.signal, signal]));
    }
    this.running = false;
    this.listeners.onLink("idle");
  }

  stop() {
    this.stopping.abort();
    this.socket?.close(1000);
  }

  /** Ends a session for good on this side: the next `start` begins another. */
  restart() {
    this.lastSeq = 0;
    this.handed.clear();
  }

  /** Hands over whatever is unsent, if there is a road right now. */
  flush() {
    for (const unsent of this.memory.unsent) {
      if (unsent.refused || this.handed.has(unsent.client_message_id)) continue;
      if (this.http) {
        this.handed.set(unsent.client_message_id, Date.now());
        void this.post(unsent);
      } else if (this.ready) {
        this.handed.set(unsent.client_message_id, Date.now());
        this.send("say", { client_message_id: unsent.client_message_id, text: unsent.text });
      }
    }
  }

  get ready() {
    return this.socket?.readyState === WebSocket.OPEN && this.welcomed;
  }

  typing() {
    if (this.ready) this.send("typing");
  }

  /** The customer leaves on purpose. */
  leave() {
    if (this.ready) this.send("leave");
    this.stop();
  }

  /** @param {string} type @param {object} [data] */
  send(type, data) {
    this.socket?.send(JSON.stringify(data ? { type, data } : { type }));
  }

  hello() {
    const { name, email } = this.memory.profile;
    return {
      token: this.memory.token,
      last_seq: this.lastSeq,
      ...(name ? { name } : {}),
      ...(email ? { email } : {}),
      ...locale(),
    };
  }

  // WebSocket ----------------------------------------------------------------------------------------------------

  /** @param {AbortSignal} signal @returns {Promise<boolean>} whether we were welcome */
  overSocket(signal) {
    return new Promise((resolve) => {
      const url = new URL(this.path, location.href);
      url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
      const socket = (this.socket = new WebSocket(url));
      this.welcomed = false;
      this.handed.clear();
      let heard = Date.now();
      const watch = setInterval(() => {
        const quiet = Date.now() - heard;
        const waiting = [...this.handed.values()].some((at) => Date.now() - at > ACK_MS);
        if (quiet > (this.welcomed ? SILENCE_MS : HELLO_MS) || waiting) over();
      }, 2000);
      /** A dead network may take minutes to close a socket; we do not wait for it. */
      const over = () => {
        clearInterval(watch);
        signal.removeEventListener("abort", over);
        if (this.socket === socket) this.socket = null;
        this.handed.clear();
        socket.onclose = socket.onmessage = socket.onopen = null;
        socket.close();
        resolve(Boolean(this.welcomed));
      };
      signal.addEventListener("abort", over);
      socket.onopen = () => this.send("hello", this.hello());
      socket.onclose = over;
      socket.onmessage = (event) => {
        heard = Date.now();
        try {
          this.frame(JSON.parse(event.data));
        } catch (error) {
          console.error("a frame could not be read", error);
        }
      };
    });
  }

  /** @param {{type: string, seq?: number, data?: any}} frame */
  frame({ type, seq, data = {} }) {
    switch (type) {
      case "welcome":
        this.welcomed = true;
        this.welcome(data);
        break;
      case "message":
        this.line({ seq: seq ?? 0, ...data });
        break;
      case "state":
        this.listeners.onState(data);
        break;
      case "ack":
        this.acknowledged(data.client_message_id, data.id);
        break;
      case "error":
        this.fault(data);
        break;
      case "typing":
        this.listeners.onTyping();
        break;
      case "ping":
        this.send("pong");
        break;
    }
  }

  /** @param {{token: string, session?: string, resumed?: boolean, workspace?: string}} data */
  welcome(data) {
    const resumed = data.resumed ?? this.memory.token === data.token;
    if (!resumed) this.lastSeq = 0;
    this.memory.token = data.token;
    if (data.workspace) this.memory.workspace = data.workspace;
    this.memory.keep();
    this.listeners.onLink("live");
    this.listeners.onWelcome({ session: data.session, workspace: data.workspace, resumed });
    this.flush();
  }

  /** @param {Line} line */
  line(line) {
    if (line.seq <= this.lastSeq) return;
    this.lastSeq = line.seq;
    this.listeners.onLine(line);
  }

  /** @param {string} clientId @param {string} id */
  acknowledged(clientId, id) {
    this.handed.delete(clientId);
    this.listeners.onAck(clientId, id);
  }

  /** @param {{code: string, detail?: string, client_message_id?: string}} data */
  fault({ code, detail = "", client_message_id: clientId }) {
    const passing = ["rate_limited", "unavailable", "busy"].includes(code);
    if (clientId) {
      if (passing) {
        setTimeout(() => {
          this.handed.delete(clientId);
          this.flush();
        }, 3000);
      } else {
        this.handed.delete(clientId);
        this.listeners.onRefused(clientId, detail);
      }
      return;
    }
    if (!this.welcomed && !passing) {
      this.stop();
      this.listeners.onStopped(detail);
    }
  }

  // HTTP ---------------------------------------------------------------------------------------------------------

  /** @param {AbortSignal} signal @returns {Promise<boolean>} whether it worked at least once */
  async overHttp(signal) {
    const api = new Api(this.memory.token);
    let worked = false;
    try {
      if (!this.memory.token) {
        const { token: _, last_seq: __, ...told } = this.hello();
        const begun = await api.post(`${this.path}/sessions`, told, { signal, tries: 1 });
        this.lastSeq = 0;
        api.token = begun.token;
        this.memory.token = begun.token;
        this.memory.keep();
      }
      let wait = 0;
      while (!signal.aborted) {
        const answer = await api.get(`${this.path}/messages?after=${this.lastSeq}&wait=${wait}`, {
          signal,
          tries: 1,
          timeout: 40_000,
        });
        if (!worked) {
          worked = true;
          this.http = true;
          this.listeners.onLink("live");
          this.listeners.onWelcome({ resumed: true });
        }
        for (const message of answer.messages ?? []) {
          this.line(message.data ? { seq: message.seq, ...message.data } : message);
        }
        if (answer.state)
          this.listeners.onState(typeof answer.state === "string" ? { state: answer.state } : answer.state);
        this.flush();
        wait = 25;
      }
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        this.memory.token = null;
        this.memory.keep();
      } else if (error instanceof Problem && [403, 404, 422].includes(error.status)) {
        this.stop();
        this.listeners.onStopped(error.message);
      }
    } finally {
      this.http = false;
    }
    return worked;
  }

  /** @param {import("./memory.js").Unsent} unsent */
  async post({ client_message_id: clientId, text }) {
    try {
      const api = new Api(this.memory.token);
      const answer = await api.post(`${this.path}/messages`, { client_message_id: clientId, text }, { tries: 4 });
      this.acknowledged(clientId, answer.id);
    } catch (error) {
      this.handed.delete(clientId);
      if (error instanceof Problem && [400, 413, 422].includes(error.status))
        this.listeners.onRefused(clientId, error.message);
    }
  }
}

/** The browser's language, as a hint; the text itself decides. */
function locale() {
  return /^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/.test(navigator.language ?? "") ? { language: navigator.language } : {};
}
