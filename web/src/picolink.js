// picolink in browsers and Node: see picolink.d.ts for what each call takes and raises.
import { bluetooth } from "./bluetooth.js";
import { newLink } from "./link.js";
import * as store from "./store.js";

export { bluetooth } from "./bluetooth.js";
export { newEngine } from "./engine.js";
export { newLink } from "./link.js";
export { pack, unpack } from "./picolink-objects.js";
export { LinkClosedError, Policy } from "./policy.js";
export { TimeoutError } from "./runtime.js";

const make = async (way, name, { radio = bluetooth, identity = store.identity(), device, timeoutMs, ...options }) => {
  if (options.remember === true) options.remember = store.partner;
  const link = await newLink(radio[way](name, { identity, device }), options);
  return link.open({ timeoutMs });
};

/** A link to the board that advertises `name`, as soon as the two have met. */
export const connect = (name, options = {}) => make("connect", name, options);

/** Where a radio can: Air of tests. */
export const advertise = (name, options = {}) => make("advertise", name, options);
