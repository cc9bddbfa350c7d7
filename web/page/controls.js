// The panel that a board has declared: what shows its values, and what a person operates.

const REPEAT_MS = 100; // who drives is heard from at least this often
const OWN_MS = 500; // after a person has set a value, what the board says of it is old for so long

/** A number as 32 bits keep it, for people. */
const short = (number) => (Number.isInteger(number) ? number : Number(number.toPrecision(6)));

/** What came, for people: text as it is, anything else as JSON. */
export const asText = (value) =>
  typeof value === "string" ? value : JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part));

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function reading({ name, unit = "" }) {
  const element = make("div", "reading");
  const value = make("output", "", "–");
  element.append(make("span", "name", name), value);
  value.setAttribute("aria-label", name);
  const text = (v) => (typeof v === "boolean" ? (v ? "on" : "off") : typeof v === "number" ? short(v) : asText(v));
  return { element, show: (v) => (value.textContent = `${text(v)}${unit && ` ${unit}`}`) };
}

function switched({ name }, set) {
  const element = make("button", "switch", name);
  element.type = "button";
  element.setAttribute("role", "switch");
  const show = (on) => element.setAttribute("aria-checked", on === true);
  show(false);
  element.addEventListener("click", () => {
    const on = element.getAttribute("aria-checked") !== "true";
    show(on);
    set(on);
  });
  return { element, show };
}

function slider({ name, unit, min, max, step, channel }, set) {
  const element = make("label", "slider", name);
  const input = make("input");
  const value = make("output", "", "–");
  Object.assign(input, { type: "range", min: short(min), max: short(max), step: short(step) });
  const show = (number) => {
    if (typeof number !== "number") return;
    input.value = number;
    value.textContent = `${short(number)}${unit && ` ${unit}`}`;
  };
  input.addEventListener("input", () => {
    show(input.valueAsNumber);
    if (channel !== null) set(input.valueAsNumber);
  });
  if (channel === null) input.addEventListener("change", () => set(input.valueAsNumber));
  element.append(value, input);
  return { element, show };
}

function choice({ name, options }, set) {
  const element = make("label", "", name);
  const select = make("select");
  for (const option of options) select.add(new Option(option));
  select.selectedIndex = -1;
  select.addEventListener("change", () => set(select.value));
  element.append(select);
  return { element, show: (value) => (select.value = asText(value)) };
}

function text({ name }, set) {
  const element = make("form", "row");
  const label = make("label", "grow", name);
  const input = make("input");
  input.autocomplete = "off";
  label.append(input);
  element.append(label, make("button", "", "Set"));
  element.lastChild.setAttribute("aria-label", `Set ${name}`);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    set(input.value);
  });
  return { element, show: (value) => (input.value = asText(value)) };
}

function button({ name }, set) {
  const element = make("button", "", name);
  element.type = "button";
  element.addEventListener("click", () => set(true));
  return { element };
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** x and y from -100 to 100. It falls back to 0 when nobody holds it, and as soon as the link is lost. */
function joystick({ name }, set) {
  const element = make("div", "joystick");
  const stick = make("div", "stick");
  const knob = make("span", "knob");
  stick.tabIndex = 0;
  const says = { role: "slider", "aria-label": `${name}: arrow keys move, space stops`, "aria-valuemin": -100, "aria-valuemax": 100 };
  for (const [key, value] of Object.entries(says)) stick.setAttribute(key, value);
  stick.append(knob);
  element.append(stick, make("span", "name", name));
  const at = { x: 0, y: 0 };
  const held = new Set(); // arrow keys
  let active = false;
  let setAt = 0;

  function put() {
    set({ ...at });
    setAt = performance.now();
  }
  function move(x, y) {
    const moved = x !== at.x || y !== at.y;
    Object.assign(at, { x, y });
    knob.style.transform = `translate(${x * 0.6}%, ${-y * 0.6}%)`;
    stick.setAttribute("aria-valuenow", y);
    stick.setAttribute("aria-valuetext", `x ${x}, y ${y}`);
    if (moved) put();
  }
  function stop() {
    active = false;
    held.clear();
    move(0, 0);
  }
  function follow(event) {
    if (!active) return;
    const box = stick.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 2 - 1;
    const y = 1 - ((event.clientY - box.top) / box.height) * 2;
    const far = Math.max(1, Math.hypot(x, y));
    move(Math.round((100 * x) / far), Math.round((100 * y) / far));
  }
  function steer() {
    const sum = [...held].reduce(([x, y], arrow) => [x + ARROWS[arrow][0], y + ARROWS[arrow][1]], [0, 0]);
    active = held.size > 0;
    move(100 * sum[0], 100 * sum[1]);
  }
  stick.addEventListener("pointerdown", (event) => {
    stick.setPointerCapture(event.pointerId);
    active = true;
    follow(event);
  });
  stick.addEventListener("pointermove", follow);
  for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) stick.addEventListener(end, stop);
  stick.addEventListener("keydown", (event) => {
    if (event.key === " ") held.clear();
    else if (event.key in ARROWS) held.add(event.key);
    else return;
    event.preventDefault();
    steer();
  });
  stick.addEventListener("keyup", ({ key }) => held.delete(key) && steer());
  const repeating = setInterval(() => active && performance.now() - setAt >= REPEAT_MS && put(), REPEAT_MS / 5);
  move(0, 0);
  return { element, stop, end: () => clearInterval(repeating) };
}

const MAKERS = { sensor: reading, binary_sensor: reading, switch: switched, number: slider, select: choice, text, button, joystick };

export class Controls {
  #into;
  #set;
  #made = new Map(); // name: what a maker returns

  /** into: an element.   set: called with an item and the value that a person gives it. */
  constructor(into, set) {
    this.#into = into;
    this.#set = set;
  }

  /** items: those of readPanel(). */
  draw(items) {
    this.clear();
    for (const item of items) {
      const control = MAKERS[item.type](item, (value) => {
        control.setAt = performance.now();
        this.#set(item, value);
      });
      this.#made.set(item.name, control);
      this.#into.append(control.element);
    }
  }

  clear() {
    this.stop();
    for (const control of this.#made.values()) control.end?.();
    this.#made.clear();
    this.#into.replaceChildren();
  }

  /** values: [name, value] pairs, as the board says. */
  show(values) {
    for (const [name, value] of values) {
      const control = this.#made.get(name);
      if (control?.show && !(performance.now() - control.setAt < OWN_MS)) control.show(value);
    }
  }

  /** What moves something goes back to where nothing moves. */
  stop() {
    for (const control of this.#made.values()) control.stop?.();
  }
}
