// Links in one program, on the radio in memory, all tests at once:  node links.mjs NAME...
import assert from "node:assert/strict";
import { Air } from "../../build/out/web/picolink-memory.js";
import { LinkClosedError, TimeoutError, advertise, connect } from "../../build/out/web/picolink.js";

const KEY = `picolink-key-${"00".repeat(32)}-190a55ad`;
const OTHER_KEY = new Uint8Array(16).fill(7);
const BOARD = new Uint8Array(8).fill(1);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function pair(air, { a = {}, b = {}, ...both } = {}) {
  const told = { a: [], b: [] };
  const options = (name, more) => ({ radio: air, onEvent: (...event) => told[name].push(event), ...both, ...more });
  const board = { ...options("a", a), identity: BOARD };
  const links = await Promise.all([advertise("PicoA", board), connect("PicoA", options("b", b))]);
  return [...links, told];
}

const close = (...links) => Promise.all(links.map((link) => link.close()));

async function exchange(a, b, count, often = () => {}) {
  const send = async (link) => {
    for (let i = 0; i < count; i++) await link.send(`message ${i}`, { channel: i % 16 });
  };
  const receive = async (link) => {
    for (let i = 0; i < count; i++) {
      assert.equal(await link.recv(), `message ${i}`);
      assert.equal(link.channel, i % 16);
      if (i % 1000 === 500) often();
    }
  };
  await Promise.all([send(a), send(b), receive(a), receive(b)]);
}

const programs = {
  async both_ways_with_drops() {
    const air = new Air({ delayMs: 1 });
    const [a, b, told] = await pair(air);
    await exchange(a, b, 5000, () => air.drop());
    await close(a, b);
    assert.ok(a.stats.connections > 5, `${a.stats.connections} connections`);
    assert.equal(told.a[0][0], "connected");
    assert.ok(told.a.some(([event]) => event === "disconnected"));
  },

  async lost_packets() {
    const [a, b] = await pair(new Air({ delayMs: 1, loss: 0.2 }));
    await exchange(a, b, 1000);
    assert.ok(a.stats.retransmitted + b.stats.retransmitted > 0);
    await close(a, b);
  },

  async packet_sizes() {
    for (const mtu of [23, 185, 517]) {
      const [a, b] = await pair(new Air({ delayMs: 1, mtu }));
      await exchange(a, b, 100);
      await close(a, b);
    }
  },

  async what_a_message_is() {
    const [a, b] = await pair(new Air());
    const values = ["text ü", new Uint8Array([0, 255]), { led: true, list: [1, -5, 0.5, null], bytes: new Uint8Array(3) }];
    for (const value of values) {
      await a.send(value);
      assert.deepEqual(await b.recv(), value);
    }
    await assert.rejects(a.send(() => {}), TypeError);
    await assert.rejects(a.send(new Uint8Array(8192)), RangeError);
    await assert.rejects(a.send("x", { channel: 16 }), RangeError);
    await close(a, b);
  },

  async closing_ends_the_other_side() {
    const [a, b] = await pair(new Air());
    await a.send("last");
    const got = [];
    const reading = (async () => {
      for await (const message of b) got.push(message);
    })();
    await a.close();
    await reading;
    assert.deepEqual(got, ["last"]);
    await assert.rejects(b.send("x"), LinkClosedError);
    await assert.rejects(b.recv(), LinkClosedError);
    await assert.rejects(a.send("x"), LinkClosedError);
    await b.close();
  },

  async leaving_does_not() {
    const air = new Air();
    const [a, b, told] = await pair(air);
    await b.send("before");
    await b.leave();
    assert.equal(await a.recv(), "before");
    assert.match(told.a.at(-1).join(), /program has failed/);
    const strange = [];
    const identity = new Uint8Array(8).fill(9);
    const onEvent = (...event) => strange.push(event.join());
    const c = connect("PicoA", { radio: air, identity, timeoutMs: 3000, onEvent }).catch((error) => error);
    const turnedAway = () => /has another partner, and has turned this one away/.test(strange.join());
    for (let i = 0; i < 250 && !turnedAway(); i++) await sleep(10);
    assert.ok(turnedAway(), strange.join());
    await (await c).leave?.({ timeoutMs: 100 });
    a.forget();
    const d = await connect("PicoA", { radio: air, onEvent() {} });
    await d.send("after");
    assert.equal(await a.recv(), "after");
    await close(a, d);
  },

  async waits_have_limits() {
    const air = new Air();
    await assert.rejects(connect("Nobody", { radio: air, timeoutMs: 100, onEvent() {} }), TimeoutError);
    const [a, b] = await pair(air, { txSize: 256 });
    await assert.rejects(a.recv({ timeoutMs: 50 }), TimeoutError);
    air.inRange = false;
    for (let i = 0; i < 8; i++) await a.send(new Uint8Array(28));
    await assert.rejects(a.send(new Uint8Array(28), { timeoutMs: 50 }), TimeoutError);
    assert.equal(a.sendNowait(new Uint8Array(28)), false);
    await assert.rejects(a.flush({ timeoutMs: 50 }), TimeoutError);
    air.inRange = true;
    await a.flush();
    for (let i = 0; i < 8; i++) await b.recv();
    await close(a, b);
  },

  async keys() {
    const air = new Air();
    const [a, b] = await pair(air, { key: KEY });
    await exchange(a, b, 100);
    await close(a, b);
    const told = [[], []];
    const options = (i) => ({ radio: air, onEvent: (...event) => told[i].push(event.join()), timeoutMs: 3000 });
    const tries = await Promise.allSettled([
      advertise("PicoA", { ...options(0), key: KEY, identity: BOARD }),
      connect("PicoA", { ...options(1), key: OTHER_KEY }),
    ]);
    assert.ok(tries.every(({ reason }) => reason instanceof TimeoutError), `${tries.map(({ reason }) => reason)}`);
    for (const each of told) {
      const refused = each.filter((event) => /^refused,.*another key/.test(event));
      assert.ok(refused.length && new Set(refused).size === refused.length, JSON.stringify(told));
    }
    await assert.rejects(connect("PicoA", { radio: air, key: "a password" }), RangeError);
    await assert.rejects(connect("PicoA", { radio: air, key: KEY.replace("0", "1") }), RangeError);
  },

  async a_large_message_among_small_ones() {
    const [a, b] = await pair(new Air({ delayMs: 1 }), { txSize: 1024, rxSize: 1024 });
    let over = false;
    const small = (async () => {
      while (!over) await a.send(new Uint8Array(100));
    })();
    await sleep(50);
    const large = a.send(new Uint8Array(1000)).then(() => (over = true));
    let seen = false;
    while (!seen) seen = (await b.recv({ timeoutMs: 5000 })).length === 1000;
    await Promise.all([small, large]);
    await close(a, b);
  },

  async an_event_handler_that_fails_ends_the_link() {
    const air = new Air();
    const fails = () => {
      throw new Error("fault of the program");
    };
    console.error = () => {};
    const a = advertise("PicoA", { radio: air, identity: BOARD, onEvent() {} });
    await assert.rejects(connect("PicoA", { radio: air, onEvent: fails }), /fault of the program/);
    a.catch(() => {});
  },
};

async function run(name) {
  try {
    await programs[name]();
    console.log(`ok ${name}`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}

await Promise.all((process.argv.length > 2 ? process.argv.slice(2) : Object.keys(programs)).map(run));
process.exit();
