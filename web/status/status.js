/**
 * The public status page: asks every half minute, and says how old its answer is when it cannot.
 * @module
 */
import { Api } from "../lib/api.js";
import { byId, fill, h, reconcile, say } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { clockTime, duration, now, timeOf, waitRange } from "../lib/time.js";
import { capital, channelIcon, channelWord, healthWord, nameWord, plural } from "../lib/words.js";

const EVERY_MS = 30_000;
const workspace = new URLSearchParams(location.search).get("workspace") || "wallet";
const api = new Api(null);

/** @type {Record<string, string>} */
const TONES = { healthy: "good", recovering: "amber", degraded: "amber", maintenance: "amber", down: "bad" };

/** @type {number | null} */
let answeredAt = null;

async function ask() {
  try {
    const status = await api.get(`/v1/status/${encodeURIComponent(workspace)}`, { tries: 1 });
    answeredAt = Date.now();
    show(status);
    say(byId("at"), `As of ${clockTime(timeOf(status.at) ?? answeredAt)}`);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    if (answeredAt === null) {
      summary("amber", "alert", "The state is not known", words);
      say(byId("at"), "No answer yet");
    } else {
      say(byId("at"), `No answer since ${clockTime(answeredAt)}`);
    }
  }
}

/** @param {any} status */
function show(status) {
  const channels = status.channels ?? [];
  const down = channels.filter((/** @type {any} */ channel) => channel.state === "down");
  const weak = channels.filter((/** @type {any} */ channel) => !["down", "healthy"].includes(channel.state));
  if (down.length) {
    const others = channels.length - down.length;
    summary(
      "bad",
      "alert",
      down.length === 1
        ? `${channelWord(down[0].kind)} is not available`
        : `${plural(down.length, "channel")} are not available`,
      others ? `You can reach us on ${plural(others, "other channel")}; see below.` : "We are working on it.",
    );
  } else if (weak.length) {
    summary(
      "amber",
      "pulse",
      "Some channels are slower than usual",
      "Your message arrives; an answer may take longer.",
    );
  } else {
    summary("good", "check", "Everything works", "You can reach us on every channel.");
  }

  const notices = byId("notices");
  fill(
    notices,
    (status.notices ?? []).map((/** @type {any} */ notice) =>
      h(
        "li",
        { class: "notice accent" },
        icon("info", 18),
        h("span", {}, typeof notice === "string" ? notice : notice.text),
      ),
    ),
  );

  byId("channels-section").hidden = channels.length === 0;
  reconcile(byId("channels"), channels, (/** @type {any} */ channel) => channel.channel, channelRow, updateChannel);

  const queues = status.queues ?? [];
  byId("queues-section").hidden = queues.length === 0;
  reconcile(byId("queues"), queues, (/** @type {any} */ queue) => queue.queue, queueRow, updateQueue);

  // Only pages of our own kind: a link from a document must not become a script.
  const links = Object.entries(status.links ?? {}).filter(
    ([, url]) => typeof url === "string" && /^(https?:\/\/|\/(?!\/))/.test(url),
  );
  fill(
    byId("links"),
    links.map(([name, url]) => h("a", { href: url, rel: "noopener noreferrer" }, capital(nameWord(name)))),
  );
}

/** @param {string} tone @param {string} glyph @param {string} title @param {string} more */
function summary(tone, glyph, title, more) {
  byId("summary").dataset.tone = tone;
  fill(byId("summary-icon"), icon(glyph, 28));
  say(byId("summary-title"), title);
  say(byId("summary-more"), more);
}

/** @param {any} channel */
function channelRow(channel) {
  return h(
    "li",
    {},
    icon(channelIcon(channel.kind), 22),
    h("div", { class: "what" }, h("p", { class: "name" }), h("p", { class: "hint" })),
    h("span", {}),
  );
}

/** @param {HTMLElement} row @param {any} channel */
function updateChannel(row, channel) {
  const [name, more] = /** @type {HTMLElement[]} */ ([...row.children[1].children]);
  say(name, `${channelWord(channel.kind)}${channel.account ? ` · ${channel.account}` : ""}`);
  const alternatives = (channel.alternatives ?? []).map((/** @type {any} */ other) =>
    channelWord(typeof other === "string" ? other : (other.channel ?? other.kind)),
  );
  const since = timeOf(channel.since);
  const parts = [];
  if (channel.state !== "healthy" && since !== null) parts.push(`for ${duration(now() - since)}`);
  if (channel.state === "down" && alternatives.length) parts.push(`please use ${alternatives.join(" or ")}`);
  say(more, capital(parts.join(", ")));
  more.hidden = parts.length === 0;
  const chip = /** @type {HTMLElement} */ (row.lastElementChild);
  chip.className = `chip ${TONES[channel.state] ?? ""}`;
  say(chip, healthWord(channel.state));
}

function queueRow() {
  return h("li", {}, h("p", { class: "what name" }), h("p", { class: "range numeric" }));
}

/** @param {HTMLElement} row @param {any} queue */
function updateQueue(row, queue) {
  say(row.children[0], nameWord(queue.queue));
  const ranges = Object.entries(queue.wait_ranges ?? {});
  const told = ranges.map(([kind, range]) => `${channelWord(kind)}: ${waitRange(/** @type {any} */ (range))}`);
  say(row.children[1], told.join("\n") || "no estimate yet");
}

document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && void ask());
setInterval(() => document.visibilityState === "visible" && void ask(), EVERY_MS);
void ask();
