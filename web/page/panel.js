// What a board declares of itself in one object: docs/panel.md. py/picolink_pc/panel.py reads the same for the
// gateway, and tests/panels.json has what both must say.

const ITEMS = 32, NAME = 40, TEXT = 12, OPTIONS = 32, MOST = 1e9, CHANNELS = 15;
const FIELDS = {
  sensor: ["unit", "plot"],
  binary_sensor: [],
  switch: [],
  number: ["unit", "min", "max", "step", "channel"],
  select: ["options"],
  text: [],
  button: [],
  joystick: ["channel"],
};
const ALWAYS = ["name", "type", "homeassistant"];
const DEFAULTS = { unit: "", plot: false, min: 0, max: 100, step: 1 };
const NEEDED = ["joystick channel", "select options"];

/** The board declares what cannot be: the text says what. */
export class PanelError extends Error {}

const isObject = (value) => Object.prototype.toString.call(value) === "[object Object]";
const isNumber = (value) => typeof value === "number" && Math.abs(value) <= MOST;
const isText = (value, most, least = 0) =>
  typeof value === "string" && [...value].length >= least && [...value].length <= most && !/[\0-\x1f]/.test(value);

const NUMBER = [isNumber, "a number from -1e9 to 1e9"];
const CHECKS = {
  unit: [(value) => isText(value, TEXT), `a text of ${TEXT} characters at most`],
  plot: [(value) => typeof value === "boolean", "true or false"],
  min: NUMBER,
  max: NUMBER,
  step: [(value) => isNumber(value) && value > 0, "a number above 0, up to 1e9"],
  channel: [(value) => Number.isInteger(value) && value >= 0 && value < CHANNELS, "a channel, 0 to 14"],
  options: [
    (value) => Array.isArray(value) && value.length > 0 && value.length <= OPTIONS && value.every((o) => isText(o, NAME, 1)),
    `an array of 1 to ${OPTIONS} texts, each of 1 to ${NAME} characters`,
  ],
  homeassistant: [isObject, "an object"],
};

function shown(value) {
  const text = JSON.stringify(value ?? null, (_, part) => (typeof part === "bigint" ? Number(part) : part));
  const letters = [...text];
  return letters.length <= NAME ? text : letters.slice(0, NAME - 1).join("") + "…";
}

/** The items of a panel: name, type, and each field that its type has.  Raises PanelError. */
export function readPanel(declared) {
  if (!Array.isArray(declared)) throw new PanelError(`a panel is an array of items; not ${shown(declared)}`);
  if (declared.length > ITEMS) throw new PanelError(`a panel has ${ITEMS} items at most, not ${declared.length}`);
  const items = declared.map(readItem);
  const channels = new Map();
  const names = new Set();
  for (const { name, channel = null } of items) {
    if (names.has(name)) throw new PanelError(`two items have the name ${shown(name)}`);
    names.add(name);
    if (channel !== null && channels.has(channel)) {
      throw new PanelError(`${shown(channels.get(channel))} and ${shown(name)} have the same channel, ${channel}`);
    }
    channels.set(channel, name);
  }
  return items;
}

function readItem(declared) {
  if (!isObject(declared)) throw new PanelError(`an item is an object with name and type; not ${shown(declared)}`);
  const { name = null, type = null } = declared;
  if (!isText(name, NAME, 1) || /[/+#\x7f]|^\d+$/.test(name)) {
    throw new PanelError(`a name is 1 to ${NAME} characters, no number, without / + #; not ${shown(name)}`);
  }
  if (typeof type !== "string" || !Object.hasOwn(FIELDS, type)) {
    throw new PanelError(`${shown(name)} needs a type: ${Object.keys(FIELDS).join(", ")}; not ${shown(type)}`);
  }
  const fields = FIELDS[type];
  for (const field of Object.keys(declared)) {
    const has = [...ALWAYS, ...fields];
    if (!has.includes(field)) {
      throw new PanelError(`${shown(name)}: a ${type} has no ${shown(field)}, only ${has.join(", ")}`);
    }
  }
  const item = { name, type };
  for (const field of [...fields, "homeassistant"]) {
    const given = Object.hasOwn(declared, field);
    const value = given ? declared[field] : (DEFAULTS[field] ?? null);
    const [check, what] = CHECKS[field];
    if ((value !== null || given || NEEDED.includes(`${type} ${field}`)) && !check(value)) {
      throw new PanelError(`${shown(name)}: ${field} is ${what}; not ${shown(value)}`);
    }
    item[field] = value;
  }
  if (type === "number" && !(item.min < item.max)) {
    throw new PanelError(`${shown(name)}: min is less than max; not ${shown(item.min)} and ${shown(item.max)}`);
  }
  return item;
}
