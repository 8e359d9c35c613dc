/**
 * The customer's chat page.
 * @module
 */
import { randomId } from "../lib/api.js";
import { byId, fill, h, reconcile, say } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { device } from "../lib/storage.js";
import { clockTime, stretch, timeOf } from "../lib/time.js";
import { channelWord, nameWord } from "../lib/words.js";
import { Connection } from "./connection.js";
import { Memory } from "./memory.js";
import { choose, direction, speaker, WORDS } from "./words.js";

/** Browsers count a timer's milliseconds in 31 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 2000;

const query = new URLSearchParams(location.search);
const account = query.get("account") || "web";
const memory = new Memory(account);
let language = choose([query.get("lang"), device.get("chat.language"), ...(navigator.languages ?? [])]);
let words = speaker(language);

/** @type {import("./connection.js").Line[]} */
let lines = [];
/** @type {any} */
let state = { state: "none" };
/** @type {import("./connection.js").Link} */
let link = "idle";
/** @type {string} */
let notice = "";
/** Whether the service refused the greeting: then the fields show again, to be mended. */
let stopped = false;
/** When the range of waits that is shown has been overtaken by the wait. @type {ReturnType<typeof setTimeout> | undefined} */
let overtaken;

/** Ids of own messages that the server has, by our own id, until the transcript shows them. @type {Map<string, {id: string, text: string, at: number}>} */
const acknowledged = new Map();

const connection = new Connection(account, memory, {
  onLink(now) {
    // Each new try is not news to somebody who reads that the connection is lost.
    if (link === "offline" && now === "connecting") return;
    link = now;
    renderLink();
  },
  onWelcome({ resumed }) {
    if (!resumed) {
      notice = lines.length ? "newSession" : "";
      lines = [];
      acknowledged.clear();
      state = { state: "none" };
    }
    render();
  },
  onLine(line) {
    lines.push(line);
    settle(line);
    render();
  },
  onState(now) {
    state = now;
    render();
  },
  onAck(clientId, id) {
    const unsent = memory.unsent.find((one) => one.client_message_id === clientId);
    memory.unsent = memory.unsent.filter((one) => one.client_message_id !== clientId);
    memory.keep();
    if (unsent && !lines.some((line) => line.id === id || line.client_message_id === clientId))
      acknowledged.set(clientId, { id, text: unsent.text, at: unsent.at });
    render();
  },
  onRefused(clientId, detail) {
    const unsent = memory.unsent.find((one) => one.client_message_id === clientId);
    if (unsent) unsent.refused = detail;
    memory.keep();
    render();
  },
  onStopped(detail) {
    notice = detail;
    stopped = true;
    render();
    byId("email").focus();
  },
  onTyping() {
    showTyping();
  },
});

/** A line of the transcript replaces what the page showed in its place. @param {import("./connection.js").Line} line */
function settle(line) {
  if (line.direction !== "customer") return;
  for (const [clientId, known] of acknowledged) {
    if (known.id === line.id || clientId === line.client_message_id) acknowledged.delete(clientId);
  }
  const before = memory.unsent.length;
  memory.unsent = memory.unsent.filter((one) => one.client_message_id !== line.client_message_id);
  if (memory.unsent.length !== before) memory.keep();
}

// Writing ----------------------------------------------------------------------------------------------------------

const text = byId("text");
text.value = memory.draft;
byId("name").value = memory.profile.name ?? "";
byId("email").value = memory.profile.email ?? "";

text.addEventListener("input", () => {
  memory.draft = text.value;
  memory.keep();
  fit();
  tellTyping();
});
text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  // While an input method composes a word, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
byId("composer").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  submit();
});

function submit() {
  const said = text.value.trim();
  if (!said) return;
  const email = byId("email");
  if (!byId("welcome").hidden && !email.checkValidity()) {
    email.reportValidity();
    return;
  }
  memory.profile = { name: byId("name").value.trim(), email: email.value.trim() };
  memory.unsent.push({ client_message_id: randomId(), text: said, at: Date.now() });
  memory.draft = text.value = "";
  begin();
}

for (const field of ["name", "email"]) {
  byId(field).addEventListener("change", () => {
    if (!stopped || !byId("email").checkValidity()) return;
    memory.profile = { name: byId("name").value.trim(), email: byId("email").value.trim() };
    begin();
  });
}

function begin() {
  memory.keep();
  notice = "";
  stopped = false;
  fit();
  render();
  if (connection.running) connection.flush();
  else void connection.start();
}

let toldTyping = 0;
function tellTyping() {
  if (Date.now() - toldTyping < 4000) return;
  toldTyping = Date.now();
  connection.typing();
}

function fit() {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight + 2, innerHeight / 4)}px`;
}

// Leaving ----------------------------------------------------------------------------------------------------------

byId("leave").addEventListener("click", () => byId("leave-dialog").showModal());
byId("leave-dialog").addEventListener("close", () => {
  if (byId("leave-dialog").returnValue !== "yes") return;
  connection.leave();
  state = { state: "abandoned" };
  render();
});
byId("anew").addEventListener("click", () => {
  connection.stop();
  connection.restart();
  memory.forget();
  lines = [];
  acknowledged.clear();
  state = { state: "none" };
  notice = "";
  render();
  text.focus();
});

// Showing ----------------------------------------------------------------------------------------------------------

/** @typedef {{key: string, own: boolean, text: string, at: number | null, author: string, unsent?: import("./memory.js").Unsent}} Row */

function rows() {
  /** @type {Row[]} */
  const shown = lines.map((line) => ({
    key: line.direction === "customer" && line.client_message_id ? `c ${line.client_message_id}` : `l ${line.id}`,
    own: line.direction === "customer",
    text: line.text,
    at: timeOf(line.at),
    author: line.direction === "customer" ? "" : line.author || words("agent"),
  }));
  for (const [clientId, known] of acknowledged)
    shown.push({ key: `c ${clientId}`, own: true, text: known.text, at: known.at, author: "" });
  for (const unsent of memory.unsent)
    shown.push({
      key: `c ${unsent.client_message_id}`,
      own: true,
      text: unsent.text,
      at: unsent.at,
      author: "",
      unsent,
    });
  return shown;
}

function render() {
  const shown = rows();
  const list = byId("messages");
  const scroller = byId("scroller");
  const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
  const count = list.childElementCount;
  reconcile(list, shown, (row) => row.key, create, update);
  byId("welcome").hidden = shown.length > 0 && !stopped;
  document.body.classList.toggle("talking", byId("welcome").hidden);
  renderState();
  renderNotice();
  renderLink();
  const open = ["waiting", "offered", "assigned"].includes(state.state);
  byId("leave").hidden = !open || !connection.running;
  byId("anew").hidden = !["completed", "abandoned", "cancelled"].includes(state.state);
  if (memory.workspace) byId("status-link").href = `/status/?workspace=${encodeURIComponent(memory.workspace)}`;
  if (list.childElementCount !== count && (atEnd || shown.at(-1)?.own)) scroller.scrollTop = scroller.scrollHeight;
}

/** @param {Row} row */
function create(row) {
  return h(
    "li",
    { class: row.own ? "message own" : "message" },
    h("p", { class: "bubble", dir: "auto" }),
    h("p", { class: "meta" }),
  );
}

/** @param {HTMLElement} element @param {Row} row */
function update(element, row) {
  const [bubble, meta] = /** @type {HTMLElement[]} */ ([...element.children]);
  say(bubble, row.text);
  element.classList.toggle("unsent", Boolean(row.unsent && !row.unsent.refused));
  element.classList.toggle("refused", Boolean(row.unsent?.refused));
  const fate = row.unsent ? (row.unsent.refused ? "refused" : "unsent") : row.own ? "sent" : "";
  const signature = JSON.stringify([language, fate, row.unsent?.refused, row.at, row.author]);
  if (element.dataset.state === signature) return;
  element.dataset.state = signature;
  const who = row.own ? h("span", { class: "visually-hidden" }, words("you")) : h("span", {}, row.author);
  const when = row.at === null ? null : h("time", { datetime: new Date(row.at).toISOString() }, clockTime(row.at));
  fill(meta, who, row.own ? null : "·", when, ...(row.own ? mark(row, fate) : []));
}

/** @param {Row} row @param {string} fate */
function mark(row, fate) {
  if (fate === "refused") {
    const remove = () => {
      memory.unsent = memory.unsent.filter((one) => one !== row.unsent);
      memory.keep();
      render();
    };
    return [
      icon("alert", 14),
      h("span", {}, words("refused", { detail: row.unsent?.refused ?? "" })),
      h("button", { class: "button small", type: "button", on: { click: remove } }, words("remove")),
    ];
  }
  if (fate === "unsent") return [icon("clock", 14), h("span", {}, words("unsent"))];
  return [icon("check", 14), h("span", { class: "visually-hidden" }, words("sent"))];
}

function renderState() {
  const area = byId("where");
  const shown =
    { offered: "waiting", parked: "assigned", deflected: "completed" }[/** @type {string} */ (state.state)] ??
    state.state;
  area.hidden = shown === "none" || !(shown in WORDS.en);
  area.dataset.state = shown;
  if (area.hidden) return;
  const name = state.agent_name ? String(state.agent_name) : "";
  let title = words(shown);
  let more = "";
  if (shown === "waiting") {
    title = words("waiting", { queue: nameWord(state.queue ?? "") });
    more = range(state.wait_range) || words("waitingMore");
  } else if (shown === "assigned") {
    if (name) title = words("assignedName", { name });
    more = words("assignedMore");
  } else if (shown === "completed" || shown === "cancelled") {
    more = words("completedMore");
  }
  say(byId("where-title"), title);
  say(byId("where-more"), more);
  const sign = `${shown} ${name}`;
  const picture = byId("where-icon");
  if (picture.dataset.state !== sign) {
    picture.dataset.state = sign;
    const glyph =
      /** @type {Record<string, string>} */ ({ waiting: "clock", completed: "check", assigned: "headset" })[shown] ??
      "leave";
    fill(picture, shown === "assigned" && name ? [...name][0].toUpperCase() : icon(glyph));
  }
}

/**
 * What was said of the wait when it began; nothing any more once it has taken longer than nearly every one.
 * @param {any} told
 */
function range(told) {
  const since = timeOf(told?.since);
  if (since === null) return "";
  const left = since + told.nearly_always_under_s * 1000 - Date.now();
  clearTimeout(overtaken);
  if (left <= 0) return "";
  if (left < LONGEST_TIMER_MS) overtaken = setTimeout(renderState, left + 1000);
  const usually = stretch(told.usually_under_s, language);
  const nearly = stretch(told.nearly_always_under_s, language);
  return usually === nearly ? words("waitBound", { nearly }) : words("waitRange", { usually, nearly });
}

function renderNotice() {
  const area = byId("notices");
  const shown = [];
  if (state.redirected_to) shown.push(words("redirected", { channel: channelWord(state.redirected_to) }));
  if (notice) shown.push(notice in WORDS.en ? words(notice) : notice);
  if (area.dataset.state === shown.join("\n")) return;
  area.dataset.state = shown.join("\n");
  fill(
    area,
    shown.map((one) => h("p", { class: "notice amber" }, icon("info", 18), h("span", {}, one))),
  );
}

function renderLink() {
  const tone = { live: "good", offline: "bad", connecting: "amber", idle: "" }[link];
  byId("link-dot").className = `dot ${tone}`;
  byId("link-dot").hidden = link === "idle";
  say(byId("link"), words(link));
}

let typingTimer = 0;
function showTyping() {
  const line = byId("typing");
  line.hidden = false;
  say(line, words("typing"));
  clearTimeout(typingTimer);
  typingTimer = setTimeout(() => (line.hidden = true), 5000);
}

// Language ---------------------------------------------------------------------------------------------------------

function speak() {
  words = speaker(language);
  document.documentElement.lang = language;
  document.documentElement.dir = direction(language);
  document.title = words("title");
  for (const element of document.querySelectorAll("[data-word]"))
    say(element, words(/** @type {HTMLElement} */ (element).dataset.word ?? ""));
  text.placeholder = words("placeholder");
  text.setAttribute("aria-label", words("placeholder"));
  byId("send").setAttribute("aria-label", words("send"));
  say(byId("leave"), words("leave"));
  say(byId("anew"), words("anew"));
  render();
}

const choice = byId("language");
fill(
  choice,
  Object.entries(WORDS).map(([code, own]) =>
    h("option", { value: code, lang: code, selected: code === language }, own._),
  ),
);
choice.addEventListener("change", () => {
  language = choice.value;
  device.put("chat.language", language);
  speak();
});

fill(byId("send"), icon("send"));
speak();
fit();
if (memory.token || memory.unsent.length) void connection.start();
if (matchMedia("(pointer: fine)").matches) text.focus();
