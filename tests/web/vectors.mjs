// Plays files of tests/vectors on the engine as WebAssembly, as play() in engine_suite.py does:  node vectors.mjs FILE...
import { newEngine } from "../../build/out/web/picolink.js";
import { playAll } from "./steps.mjs";

const unhex = (text) => (text === null ? null : Uint8Array.from(Buffer.from(text, "hex")));
const hex = (bytes) => bytes && Buffer.from(bytes).toString("hex");

const CALLS = {
  pull_into: (engine, now) => hex(engine.pull(now)) ?? "",
  feed: (engine, packet, now) => engine.feed(unhex(packet), now),
  send: (engine, message, channel, kind) => engine.send(unhex(message), channel, kind),
  set_partner: (engine, identity) => engine.setPartner(unhex(identity)) ?? null,
  take_flags: (engine) => engine.takeFlags(),
  partner: (engine) => hex(engine.partner),
  peer_version: (engine) => engine.peerVersion,
  commit: (engine) => (engine.commit(), null),
  recv: (engine) => {
    const message = engine.recv();
    return message && [message[0], hex(message[1])];
  },
};

await playAll(async (exchange) => {
  const engines = {};
  for (const [name, made] of Object.entries(exchange.engines)) {
    const { session, identity, tx_size: txSize, rx_size: rxSize, window, commit, key, seed } = made;
    const more = key ? { key: unhex(key), seed: unhex(seed) } : {};
    const options = { txSize, rxSize, window, commit, ...more };
    engines[name] = await newEngine(parseInt(session, 16), unhex(identity), options);
  }
  return (name, call, args, wanted) => {
    const engine = engines[name];
    if (call === "stats") {
      const stats = engine.stats();
      return Object.fromEntries(Object.keys(wanted).map((key) => [key, stats[key]]));
    }
    if (call in CALLS) return CALLS[call](engine, ...args);
    return typeof engine[call] === "function" ? (engine[call](...args) ?? null) : engine[call];
  };
});
