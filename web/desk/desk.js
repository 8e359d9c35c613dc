/**
 * The agent's desk: sign in, then one live feed drives the page.
 * @module
 */
import { Api } from "../lib/api.js";
import { byId, fill } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { tab } from "../lib/storage.js";
import { now } from "../lib/time.js";
import { Actions, sentence } from "./actions.js";
import { Assignments } from "./assignments.js";
import { Consults } from "./consults.js";
import { Conversation } from "./conversation.js";
import { showSettings } from "./dialogs.js";
import { Feed } from "./feed.js";
import { banner, Header } from "./header.js";
import { Model } from "./model.js";
import { Offers } from "./offers.js";
import { dropSession, keepSession, readToken, storedSession, tokenFromAddress } from "./session.js";
import { applyTheme, settings } from "./settings.js";
import { listenForKeys } from "./shortcuts.js";
import { WrapUp } from "./wrapup.js";

/** @param {string} [problem] why the desk is not signed in */
function showSignIn(problem = "") {
  document.title = "Sign in · Switchdesk";
  byId("desk").hidden = true;
  byId("sign-in").hidden = false;
  const line = byId("sign-in-problem");
  line.hidden = !problem;
  line.textContent = problem;
  byId("token").focus();
}

byId("sign-in-form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  try {
    const session = readToken(byId("token").value);
    keepSession(session);
    byId("token").value = "";
    open(session);
  } catch (error) {
    showSignIn(sentence(error));
  }
});

/** @param {import("./session.js").Session} session */
function open(session) {
  byId("sign-in").hidden = true;
  byId("desk").hidden = false;
  fill(byId("open-settings"), icon("gear"));

  const running = new AbortController();
  const model = new Model();
  const api = new Api(session.token);
  const feed = new Feed(api, session.agent, {
    onWork: (work) => model.take(work, now()),
    onConnection: (state) => {
      model.connection = state;
      model.changed();
    },
    onSaves: (saves) => {
      model.saves = saves;
      model.changed();
    },
    onProblem: (problem) => banner(problem.message, "bad"),
  });
  const actions = new Actions(model, api, feed, session.agent);
  const conversation = new Conversation(model, actions, close);
  const header = new Header(model, actions);
  const offers = new Offers(model, actions);
  const assignments = new Assignments(model, actions, show);
  const consults = new Consults(model, actions, show);
  const wrapUp = new WrapUp(model, actions, show);

  /** @param {string} contact @param {boolean} [focus] */
  function show(contact, focus = false) {
    if (model.open !== contact && narrow()) history.pushState({ contact }, "");
    model.open = contact;
    tab.put("open", contact);
    render();
    if (focus || !narrow()) conversation.focusReply();
    void actions.followDelivery(contact);
  }

  function close() {
    if (!model.open) return;
    if (history.state?.contact) history.back();
    else shut();
  }

  function shut() {
    const was = model.open;
    model.open = null;
    tab.put("open", null);
    render();
    /** @type {HTMLElement | null} */ (
      document.querySelector(`[data-contact="${CSS.escape(was ?? "")}"] button`)
    )?.focus();
  }

  /** Where an agent goes on after something ended: the wrap-up, the next offer, or the list. @param {string | null} contact */
  function goOn(contact) {
    render();
    if (contact !== null && contact === model.open && narrow()) close();
    const active = document.activeElement;
    if (active !== document.body && active instanceof HTMLElement && active.checkVisibility()) return;
    const next =
      document.querySelector("#wrap-up:not([hidden]) input") ?? document.querySelector("#offers > li") ?? byId("lists");
    /** @type {HTMLElement} */ (next).focus();
  }

  function render() {
    header.render();
    wrapUp.render();
    offers.render();
    conversation.render();
    assignments.render();
    consults.render();
    title();
    if (!model.saves)
      banner("Nothing can be saved at the moment. Keep this desk open: what you see stays yours, and it goes on by itself.", "bad");
    else if (model.work?.reachable === false)
      banner("The router has not heard from this desk for a while; you get no offers until it does.");
    else if (session.expires !== null && session.expires - now() < 300_000)
      banner("Your sign-in ends in a few minutes. Ask for a new token; drafts in this tab are kept.");
    else if (model.connection !== "reconnecting") banner(null);
  }

  function title() {
    const waiting =
      model.offers.length +
      [...model.assignments, ...model.consults].filter((entry) => entry.contact.id !== model.open && model.unread(entry.contact) > 0).length;
    const badge = settings.badge && waiting ? `(${waiting}) ` : "";
    document.title = `${badge}Desk · Switchdesk`;
  }

  function signOut(problem = "") {
    running.abort();
    // An agent who is thrown out comes back to their drafts; one who leaves, leaves nothing behind.
    if (problem) {
      dropSession();
      tab.put("problem", problem);
    } else {
      tab.clear();
    }
    location.reload();
  }

  api.onRefused = () => signOut("Your sign-in is not valid any more. Please sign in with a new token.");
  actions.onShow = show;
  actions.onDone = goOn;
  model.onChange = render;
  model.open = tab.get("open");
  addEventListener("popstate", shut);
  addEventListener("pagehide", () => running.abort());
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  document.addEventListener("visibilitychange", () => model.changed());
  byId("open-settings").addEventListener("click", help);
  function help() {
    showSettings({ agent: model.agentName || session.agent, expires: session.expires, signOut: () => signOut() });
  }
  listenForKeys(model, actions, {
    show: (contact) => show(contact),
    reply: () => conversation.focusReply(),
    help,
    close,
  });

  setInterval(() => {
    offers.tick();
    assignments.tick();
    wrapUp.tick();
  }, 1000);
  api.get(`/v1/agents/${encodeURIComponent(session.agent)}`).then(
    (agent) => {
      model.agentName = agent?.name || session.agent;
    },
    () => {},
  );
  void feed.run(running.signal);
  render();
}

/** Whether list and conversation share one column. */
function narrow() {
  return matchMedia("(max-width: 759px)").matches;
}

addEventListener("hashchange", () => {
  const token = tokenFromAddress();
  if (token === null) return;
  // Somebody opened another agent's link in this tab.
  tab.clear();
  tab.put("token", token);
  location.reload();
});

applyTheme();
const given = tokenFromAddress();
const problem = tab.get("problem");
tab.put("problem", null);
if (given !== null) {
  try {
    const session = readToken(given);
    keepSession(session);
    open(session);
  } catch (error) {
    showSignIn(sentence(error));
  }
} else {
  const session = storedSession();
  if (session) open(session);
  else showSignIn(problem ?? "");
}
