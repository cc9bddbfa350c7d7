// What a browser keeps for a page, in localStorage: its identity, and whom links with remember: true have met.
const PREFIX = "picolink ";
const store = globalThis.localStorage; // Node has none

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const fromHex = (text) => Uint8Array.from(text.match(/../g), (digits) => parseInt(digits, 16));

function load(name) {
  const text = store?.getItem(PREFIX + name);
  return /^(?!0+$)[0-9a-f]{16}$/.test(text ?? "") ? fromHex(text) : null;
}

let kept = null;

/** The 8 bytes by which boards know this page. Other ones after a restart, where nothing is kept. */
export function identity() {
  kept ??= load("identity");
  if (!kept) {
    kept = crypto.getRandomValues(new Uint8Array(8));
    kept[0] |= 1;
    store?.setItem(PREFIX + "identity", hex(kept));
  }
  return kept;
}

export const partner = {
  load: (name) => load("partner " + name),
  save: (name, bytes) => store?.setItem(PREFIX + "partner " + name, hex(bytes)),
  remove: (name) => store?.removeItem(PREFIX + "partner " + name),
};
