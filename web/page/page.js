// The page: what a person does goes to the board, what comes from there is shown.
import { Controls, asText } from "./controls.js";
import { PanelError, readPanel } from "./panel.js";
import { LinkClosedError, bluetooth, connect } from "./picolink.js";
import { Plot } from "./plot.js";

const LINES = 500; // of the log
const KEY = "picolink key";
const PARTNER = "picolink board";

const at = (id) => document.getElementById(id);
const [state, log, name, key, keep] = ["state", "log", "name", "key", "keep"].map(at);
let storage;
try {
  storage = globalThis.localStorage;
} catch {
  // a browser that keeps nothing for this site
}
let link = null;
let config = { radio: null };

// -- what is said

function show(text, kind) {
  const item = document.createElement("p");
  item.className = kind;
  item.textContent = text;
  const follow = log.scrollTop + log.clientHeight > log.scrollHeight - 40;
  log.append(item);
  while (log.children.length > LINES) log.firstChild.remove();
  if (follow) log.scrollTop = log.scrollHeight;
}

function tell(text) {
  state.textContent = text;
}

const readable = (message) => {
  if (!(message instanceof Uint8Array)) return asText(message);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(message);
  } catch {
    return Array.from(message, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  }
};

// -- the link

function onEvent(event, detail) {
  show(`${event}: ${detail}`, "event");
  if (event === "connected") tell(`Connected to ${link?.name ?? (name.value || "the board")}.`);
  if (event === "disconnected") {
    controls.stop();
    tell(`The link was lost: ${detail}.`);
  }
  if (event === "refused") tell(`Refused: ${detail}.`);
}

async function radioOf() {
  if (!config.radio) return bluetooth;
  const { WebSocketRadio } = await import("./picolink-websocket.js");
  return new WebSocketRadio(new URL(config.radio, location.href).href.replace(/^http/, "ws"));
}

at("board").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("connect").disabled = true;
  tell(config.radio ? "Looking for the board …" : "Choose the board …");
  if (keep.checked) storage?.setItem(KEY, key.value);
  else storage?.removeItem(KEY);
  const wanted = name.value || undefined;
  try {
    const options = { radio: await radioOf(), onEvent, remember: true, key: key.value || undefined };
    link = await connect(wanted, options);
  } catch (error) {
    const refused = error.name === "NotFoundError" ? "No board was chosen." : `Not connected: ${error.message}.`;
    tell(refused);
    show(refused, "event");
    at("connect").disabled = false;
    return;
  }
  name.value = link.name;
  noPanel();
  tell(`Connected to ${link.name}.`);
  setOpen(true);
  let end = "The link is closed.";
  try {
    for await (const message of link) receive(message, link.channel);
  } catch (error) {
    end = `The link has ended: ${error.message}.`;
  }
  controls.stop();
  await link.close();
  setOpen(false);
  tell(end);
});

function setOpen(open) {
  at("connect").disabled = open;
  at("disconnect").disabled = at("send-button").disabled = !open;
  if (!open) at("connect").focus();
}

at("disconnect").addEventListener("click", async () => {
  controls.stop();
  await link.leave(); // the board's program goes on
});

at("forget").addEventListener("click", () => {
  storage?.removeItem(KEY);
  for (const kept of Object.keys(storage ?? {})) if (kept.startsWith("picolink partner ")) storage.removeItem(kept);
  link?.forget();
  key.value = "";
  keep.checked = false;
  show("forgotten: the board that this page has met, and its key", "event");
});

async function send(message, channel) {
  try {
    await link.send(message, { channel });
    return true;
  } catch (error) {
    show(`not sent: ${error.message}`, "event");
    return false;
  }
}

at("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { value } = at("text");
  if (await send(value, Number(at("channel").value))) {
    show(`> ${value}`, "sent");
    at("text").value = "";
  }
});

// -- the panel that the board declares

const controls = new Controls(at("panel"), ({ name: of, channel }, value) => {
  if (!link) return;
  if (channel == null) send({ [of]: value }, 0);
  else setNewest(channel, value);
});

/** Also while the link is lost: of what waits only the newest value goes, when it is there again. */
function setNewest(channel, value) {
  try {
    link.newest(channel).send(value);
  } catch (error) {
    if (!(error instanceof LinkClosedError)) throw error;
  }
}

let drawn = ""; // of which panel

function noPanel() {
  drawn = "";
  controls.clear();
  numbers.clear();
  at("plot-section").hidden = at("panel-note").hidden = false;
}

function usePanel(declared) {
  try {
    const items = readPanel(declared);
    if (JSON.stringify(items) === drawn) return; // a board says it again to whom it meets
    drawn = JSON.stringify(items);
    controls.draw(items);
    const plotted = items.filter((item) => item.plot).map((item) => item.name);
    numbers.clear(plotted);
    at("plot-section").hidden = !plotted.length;
    at("panel-note").hidden = items.length > 0;
    show(`the board declares a panel: ${items.map((item) => item.name).join(", ") || "nothing"}`, "event");
  } catch (error) {
    if (!(error instanceof PanelError)) throw error;
    show(`the board's panel is not used: ${error.message}`, "event");
  }
}

document.addEventListener("visibilitychange", () => document.hidden && controls.stop());

// Where a page has no time at all, as on a locked phone: after a few seconds the board looks for it again.
let pausedAt = 0;
document.addEventListener("freeze", () => {
  controls.stop();
  pausedAt = Date.now();
  tell("Paused by the browser.");
});
document.addEventListener("resume", () => {
  show(`the browser had paused this page for ${Math.round((Date.now() - pausedAt) / 1000)} s`, "event");
  tell(link?.connected ? `Connected to ${link.name}.` : "Not connected.");
});

// -- values: those of objects, of text that is one as JSON, and of text as "left=1 right=-2"

const numbers = new Plot(at("plot"), at("legend"));

function objectOf(message) {
  let found = message;
  if (typeof message === "string" && message.startsWith("{")) {
    try {
      found = JSON.parse(message);
    } catch {
      return null;
    }
  }
  return Object.prototype.toString.call(found) === "[object Object]" ? found : null;
}

const inText = (text) =>
  Array.from(text.matchAll(/([A-Za-z_]\w*)[=: ]\s*(-?\d+(?:\.\d+)?)/g), ([, of, number]) => [of, Number(number)]);

function receive(message, channel) {
  const object = objectOf(message);
  if (object && Object.hasOwn(object, "panel")) return usePanel(object.panel);
  const text = readable(message);
  show(channel ? `[${channel}] ${text}` : text, "received");
  const values = object ? Object.entries(object) : inText(text);
  controls.show(values);
  numbers.add(values);
}

// -- counters

const SHOWN = {
  "round trip": ({ rtt_ms }) => (rtt_ms ? `${rtt_ms} ms` : "–"),
  "messages sent": ({ messages_sent, messages_acknowledged }) => `${messages_sent}, ${messages_acknowledged} acknowledged`,
  "messages received": ({ messages_received }) => messages_received,
  connections: ({ connections }) => connections,
  "packets sent again": ({ retransmitted }) => retransmitted,
};
const cells = Object.entries(SHOWN).map(([title, text]) => {
  const term = document.createElement("dt");
  const cell = document.createElement("dd");
  term.textContent = title;
  cell.textContent = "–";
  at("stats").append(term, cell);
  return [cell, text];
});
setInterval(() => {
  if (document.hidden) return;
  numbers.draw();
  if (link) for (const [cell, text] of cells) cell.textContent = text(link.stats);
}, 500);

// -- the beginning

key.value = storage?.getItem(KEY) ?? "";
keep.disabled = !storage;
keep.checked = key.value !== "";
config = await (await fetch("config.json")).json();
name.value = config.name ?? "";
at("radio").textContent = config.said
  ? config.said
  : navigator.bluetooth
    ? "Connect asks for the board: the browser shows those in range. After a reload it asks again."
    : "This browser has no Web Bluetooth. Chrome and Edge have it, on Android too; Safari and Firefox do not, nor does any browser on iPhones.";
if (!config.radio && !navigator.bluetooth) at("connect").disabled = true;
if ("serviceWorker" in navigator) navigator.serviceWorker.register("service-worker.js");
document.body.dataset.ready = "yes";
export const page = { get link() { return link; } }; // for tests and curious people
