/**
 * Who is at this desk. The token comes pasted or in the fragment of the address; it is kept for this tab only and
 * leaves the address bar and the history at once.
 * @module
 */
import { tab } from "../lib/storage.js";

/** @typedef {{token: string, agent: string, workspace: string, expires: number | null}} Session */

/** Takes `#token=…` out of the address, if it is there. @returns {string | null} */
export function tokenFromAddress() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return token.trim();
}

/**
 * Reads what the token says about itself. The server checks the signature; the page only needs to know whose desk it is.
 * @param {string} token
 * @returns {Session}
 */
export function readToken(token) {
  const parts = token.trim().split(".");
  if (parts.length !== 3)
    throw new Error("This is not a sign-in token: it should have three parts, separated by dots.");
  let claims;
  try {
    const text = atob(parts[1].replace(/-/g, "+").replace(/_/g, "/"));
    claims = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(text, (c) => c.charCodeAt(0))),
    );
  } catch {
    throw new Error("This token cannot be read; was it copied whole?");
  }
  if (typeof claims?.sub !== "string" || !claims.sub) throw new Error("This token names no agent.");
  const role = claims.role ?? "agent";
  if (role !== "agent") throw new Error(`This token is for the role “${role}”; the desk needs an agent's.`);
  const expires = typeof claims.exp === "number" ? claims.exp * 1000 : null;
  if (expires !== null && expires < Date.now() - 60_000)
    throw new Error("This token has expired; ask your operator for a new one.");
  return { token: token.trim(), agent: claims.sub, workspace: String(claims.ws ?? ""), expires };
}

/** @returns {Session | null} the session of this tab, if there is one */
export function storedSession() {
  const token = tab.get("token");
  if (typeof token !== "string") return null;
  try {
    return readToken(token);
  } catch {
    tab.put("token", null);
    return null;
  }
}

/** @param {Session} session */
export function keepSession(session) {
  tab.put("token", session.token);
}

export function dropSession() {
  tab.put("token", null);
}
