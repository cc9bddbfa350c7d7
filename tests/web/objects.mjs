// Plays files of objects, tests/vectors/objects/, on picolink.js: their format is in objects_suite.py:  node objects.mjs FILE...
import { pack, unpack } from "../../build/out/web/picolink-objects.js";
import { playAll } from "./steps.mjs";

const unhex = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const number = (text) => (Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text));

/** The value that is written so; `map` makes a dict of [key, value] pairs. */
function valueOf(tagged, map) {
  if (Array.isArray(tagged)) return tagged.map((each) => valueOf(each, map));
  if (tagged === null || typeof tagged !== "object") return tagged;
  const [[tag, what]] = Object.entries(tagged);
  if (tag === "int") return number(what);
  if (tag === "float64") return new DataView(unhex(what).buffer).getFloat64(0);
  if (tag === "bytes") return unhex(what);
  return map(what.map((pair) => pair.map((each) => valueOf(each, map))));
}

function refused(data) {
  try {
    unpack(data);
  } catch (error) {
    const at = /at byte (\d+): /.exec(error.message);
    if (error instanceof RangeError && at) return Number(at[1]);
    throw error;
  }
  return null;
}

const CALLS = {
  pack: (value) => Buffer.from(pack(valueOf(value, (pairs) => new Map(pairs)))).toString("hex"),
  unpack: (data) => unpack(unhex(data)),
  refuse: (data) => refused(unhex(data)),
};

await playAll((file) => {
  // Keys of an object are texts.
  for (const step of file.steps) if (step[1] === "unpack") step[3] = valueOf(step[3], Object.fromEntries);
  return (_, call, args) => CALLS[call](...args);
});
