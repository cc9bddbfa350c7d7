// The page: what a person does goes to the board, what comes from there is shown.
import { LinkClosedError, bluetooth, connect } from "./picolink.js";

const LINES = 500; // of the log
const PLOT_MS = 60000;
const STICK = 1; // the channel of the joystick
const STICK_MS = 100; // who drives is heard from at least this often
const CURVES = 4;
const KEY = "picolink key";
const PARTNER = "picolink board";

const at = (id) => document.getElementById(id);
const [state, log, name, key, keep] = ["state", "log", "name", "key", "keep"].map(at);
let link = null;
let device = null; // what the browser knows of the board: connects again without asking
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
  if (typeof message === "string") return message;
  if (!(message instanceof Uint8Array)) return JSON.stringify(message, (_, v) => (typeof v === "bigint" ? String(v) : v));
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
    safe();
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
  if (keep.checked) localStorage.setItem(KEY, key.value);
  else localStorage.removeItem(KEY);
  const wanted = name.value || undefined;
  try {
    const options = { radio: await radioOf(), onEvent, remember: true, key: key.value || undefined, device };
    link = await connect(wanted, options);
  } catch (error) {
    const refused = error.name === "NotFoundError" ? "No board was chosen." : `Not connected: ${error.message}.`;
    tell(refused);
    show(refused, "event");
    at("connect").disabled = false;
    return;
  }
  name.value = link.name;
  tell(`Connected to ${link.name}.`);
  setOpen(true);
  try {
    for await (const message of link) receive(message, link.channel);
    tell("The link is closed.");
  } catch (error) {
    tell(`The link has ended: ${error.message}.`);
  }
  await link.close();
  setOpen(false);
  safe();
});

function setOpen(open) {
  at("connect").disabled = open;
  at("disconnect").disabled = at("send-button").disabled = !open;
  if (!open) at("connect").focus();
}

at("disconnect").addEventListener("click", async () => {
  safe();
  await link.leave(); // the board's program goes on
});

at("forget").addEventListener("click", () => {
  localStorage.removeItem(KEY);
  for (const kept of Object.keys(localStorage)) if (kept.startsWith("picolink partner ")) localStorage.removeItem(kept);
  link?.forget();
  device = null;
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

function receive(message, channel) {
  const text = readable(message);
  show(channel ? `[${channel}] ${text}` : text, "received");
  plot(message, text);
}

// -- driving: only the newest value counts

const stick = at("stick");
const stickAt = { x: 0, y: 0 };
let sentAt = 0;
let sent = "";

function move(x, y) {
  Object.assign(stickAt, { x, y });
  at("knob").style.transform = `translate(${x * 0.6}%, ${-y * 0.6}%)`;
  stick.setAttribute("aria-valuenow", y);
  stick.setAttribute("aria-valuetext", `x ${x}, y ${y}`);
  drive();
}

function drive() {
  const value = JSON.stringify(stickAt);
  const idle = value === sent && performance.now() - sentAt < STICK_MS;
  if (!link?.connected || idle || (!active && value === sent)) return;
  try {
    link.newest(STICK).send(stickAt);
    [sent, sentAt] = [value, performance.now()];
  } catch (error) {
    if (!(error instanceof LinkClosedError)) throw error;
  }
}
setInterval(drive, 20);

let active = false; // the stick is held
const safe = () => {
  active = false;
  sent = "";
  move(0, 0);
};

function follow(event) {
  if (!active) return;
  const box = stick.getBoundingClientRect();
  let x = ((event.clientX - box.left) / box.width) * 2 - 1;
  let y = 1 - ((event.clientY - box.top) / box.height) * 2;
  const far = Math.max(1, Math.hypot(x, y));
  move(Math.round((100 * x) / far), Math.round((100 * y) / far));
}
stick.addEventListener("pointerdown", (event) => {
  stick.setPointerCapture(event.pointerId);
  active = true;
  follow(event);
});
stick.addEventListener("pointermove", follow);
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) stick.addEventListener(end, safe);

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const held = new Set();
function steer() {
  const sum = [...held].reduce(([x, y], arrow) => [x + ARROWS[arrow][0], y + ARROWS[arrow][1]], [0, 0]);
  active = held.size > 0;
  move(100 * sum[0], 100 * sum[1]);
}
stick.addEventListener("keydown", (event) => {
  if (event.key === " ") held.clear();
  else if (event.key in ARROWS) held.add(event.key);
  else return;
  event.preventDefault();
  steer();
});
stick.addEventListener("keyup", ({ key: released }) => held.delete(released) && steer());
stick.addEventListener("blur", () => held.size && (held.clear(), steer()));
at("stop").addEventListener("click", safe);
document.addEventListener("visibilitychange", () => document.hidden && safe());

for (const button of document.querySelectorAll("[data-button]")) {
  button.addEventListener("click", () => link && send({ button: button.dataset.button }, 0));
}

// -- numbers: those of objects, and of text as "left=1 right=-2"

const curves = new Map(); // name: [[time, number]]
const SVG = "http://www.w3.org/2000/svg";

function numbersOf(message, text) {
  if (typeof message === "object" && !(message instanceof Uint8Array)) return Object.entries(message ?? {});
  return [...text.matchAll(/([A-Za-z_]\w*)[=: ]\s*(-?\d+(?:\.\d+)?)/g)].map(([, of, number]) => [of, Number(number)]);
}

function plot(message, text) {
  for (const [of, number] of numbersOf(message, text)) {
    if (typeof number !== "number" || !Number.isFinite(number)) continue;
    if (!curves.has(of) && curves.size < CURVES) addCurve(of);
    curves.get(of)?.points.push([performance.now(), number]);
  }
}

function addCurve(of) {
  const line = document.createElementNS(SVG, "polyline");
  const sample = document.createElementNS(SVG, "svg");
  line.classList.add(`curve-${curves.size}`);
  sample.setAttribute("viewBox", "0 0 24 8");
  sample.setAttribute("aria-hidden", "true");
  const stroke = document.createElementNS(SVG, "line");
  for (const [place, value] of Object.entries({ x1: 0, x2: 24, y1: 4, y2: 4, "stroke-width": 4 })) stroke.setAttribute(place, value);
  stroke.classList.add(`curve-${curves.size}`);
  sample.append(stroke);
  at("plot").append(line);
  const item = document.createElement("li");
  const label = document.createElement("span");
  item.append(sample, label);
  at("legend").append(item);
  curves.set(of, { points: [], line, label });
}

function draw() {
  const now = performance.now();
  const all = [];
  for (const curve of curves.values()) {
    while (curve.points.length && curve.points[0][0] < now - PLOT_MS) curve.points.shift();
    all.push(...curve.points.map(([, number]) => number));
  }
  const low = Math.min(...all);
  const range = Math.max(...all) - low || 1;
  for (const [of, { points, line, label }] of curves) {
    const place = ([time, number]) => `${600 - ((now - time) / PLOT_MS) * 600},${150 - ((number - low) / range) * 140}`;
    line.setAttribute("points", points.map(place).join(" "));
    label.textContent = `${of} ${points.at(-1)?.[1] ?? ""}`;
  }
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
  draw();
  if (link) for (const [cell, text] of cells) cell.textContent = text(link.stats);
}, 500);

// -- the beginning

key.value = localStorage.getItem(KEY) ?? "";
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
