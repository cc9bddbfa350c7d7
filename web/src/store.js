// What a browser keeps for a page, in localStorage: its identity, and whom links with remember: true have met.
const PREFIX = "picolink ";
let store;
try {
  store = globalThis.localStorage; // Node has none
} catch {
  // a browser that keeps nothing for this site
}

function load(name) {
  const bytes = Uint8Array.from(store?.getItem(PREFIX + name)?.split(",") ?? []);
  return bytes.length === 8 && bytes.some(Boolean) ? bytes : null;
}
const save = (name, bytes) => store?.setItem(PREFIX + name, bytes.join());

let kept = null;

/** The 8 bytes by which boards know this page. Other ones after a restart, where nothing is kept. */
export function identity() {
  kept ??= load("identity");
  if (!kept) {
    kept = crypto.getRandomValues(new Uint8Array(8));
    kept[0] |= 1;
    save("identity", kept);
  }
  return kept;
}

export const partner = {
  load: (name) => load("partner " + name),
  save: (name, bytes) => save("partner " + name, bytes),
  remove: (name) => store?.removeItem(PREFIX + "partner " + name),
};
