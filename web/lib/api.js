/**
 * Calls to the public API: bearer token, idempotency keys, retries that are safe, errors as RFC 9457 problems.
 * @module
 */
import { backoff, learnClock, pause } from "./time.js";

/** What the API said no with, readable: `message` is the sentence to show. */
export class Problem extends Error {
  /**
   * @param {number} status 0 when no answer came
   * @param {Record<string, any>} [members]
   */
  constructor(status, members = {}) {
    super(members.detail || members.title || fallbackSentence(status));
    this.name = "Problem";
    this.status = status;
    this.title = members.title ?? "";
    this.type = members.type ?? "about:blank";
    this.members = members;
  }

  /** Whether trying again may help: nothing is known to be wrong with the request. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** @param {number} status */
function fallbackSentence(status) {
  if (status === 0) return "The server cannot be reached at the moment.";
  if (status === 401) return "Your sign-in is not valid any more.";
  if (status === 403) return "You are not allowed to do this.";
  if (status === 404) return "This does not exist (any more).";
  if (status === 409) return "This is no longer possible.";
  if (status === 429) return "Too many requests; please wait a moment.";
  if (status === 503) return "The service is busy; nothing was lost. Please try again.";
  return `The server answered ${status}.`;
}

/** A random id. `crypto.randomUUID` is missing on plain HTTP, where an operator may well try this out. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @typedef {object} Options
 * @property {unknown} [body]
 * @property {AbortSignal} [signal]
 * @property {string} [key] the idempotency key; made up for changing calls, so that their retries are safe
 * @property {number} [tries] for calls that may be repeated; 3 unless told
 * @property {number} [timeout] ms for one try
 */

export class Api {
  /** @param {string | null} token */
  constructor(token) {
    this.token = token;
    /** Called when the token is refused. @type {() => void} */
    this.onRefused = () => {};
  }

  /** @returns {Record<string, string>} */
  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /**
   * One call, repeated with the same idempotency key while its outcome is unknown; a `202` is followed to its result.
   * @param {string} method
   * @param {string} path
   * @param {Options} [options]
   * @returns {Promise<any>} the JSON answer
   */
  async call(method, path, options = {}) {
    const changing = method !== "GET";
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json, application/problem+json", ...this.headers() };
    if (options.body !== undefined) headers["Content-Type"] = "application/json";
    if (changing) headers["Idempotency-Key"] = options.key ?? randomId();
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);

    for (let attempt = 0; ; attempt += 1) {
      try {
        const answer = await this.once(method, path, headers, body, options);
        return answer.status === 202 && answer.data?.command_id ? await this.follow(answer.data, options) : answer.data;
      } catch (error) {
        if (!(error instanceof Problem) || !error.passing || options.signal?.aborted) throw error;
        if (attempt + 1 >= (options.tries ?? 3)) throw error;
        await pause(error.members.retryAfter ?? backoff(attempt), options.signal);
      }
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Record<string, string>} headers
   * @param {string | undefined} body
   * @param {Options} options
   */
  async once(method, path, headers, body, options) {
    const limit = AbortSignal.timeout(options.timeout ?? 20_000);
    const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
    let response;
    let text = "";
    try {
      response = await fetch(path, {
        method,
        headers,
        body,
        signal,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
      text = await response.text();
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Problem(0);
    }
    learnClock(response.headers);
    const data = parse(text);
    if (response.ok) return { status: response.status, data };
    if (response.status === 401) this.onRefused();
    const wait = Number(response.headers.get("retry-after"));
    throw new Problem(response.status, { ...data, ...(wait > 0 ? { retryAfter: Math.min(wait, 10) * 1000 } : {}) });
  }

  /**
   * Durable but not decided yet: asks until it is.
   * @param {{command_id: string}} pending
   * @param {Options} options
   */
  async follow(pending, options) {
    for (let attempt = 0; attempt < 12; attempt += 1) {
      await pause(backoff(attempt, 3000), options.signal);
      const path = `/v1/commands/${encodeURIComponent(pending.command_id)}`;
      const { status, data } = await this.once("GET", path, this.headers(), undefined, options);
      if (status !== 202 && data?.status !== "pending" && data?.state !== "pending") return data;
    }
    throw new Problem(503, { detail: "This was recorded but is not decided yet; it will show here as soon as it is." });
  }

  /** @param {string} path @param {Options} [options] */
  get(path, options) {
    return this.call("GET", path, options);
  }

  /** @param {string} path @param {unknown} body @param {Options} [options] */
  post(path, body, options) {
    return this.call("POST", path, { ...options, body });
  }

  /** @param {string} path @param {unknown} body @param {Options} [options] */
  put(path, body, options) {
    return this.call("PUT", path, { ...options, body });
  }

  /** @param {string} path @param {Options} [options] */
  delete(path, options) {
    return this.call("DELETE", path, options);
  }
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
