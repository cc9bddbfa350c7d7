// Links in one program, on the radio in memory, all tests at once:  node links.mjs NAME...
import assert from "node:assert/strict";
import { FileError, fetchFile, receiveFiles, sendFile } from "../../build/out/web/picolink-files.js";
import { Air } from "../../build/out/web/picolink-memory.js";
import { LinkClosedError, TimeoutError, advertise, bluetooth, connect } from "../../build/out/web/picolink.js";

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

const random = (size) => Uint8Array.from({ length: size }, () => Math.random() * 256);

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

  async files_both_ways_with_drops_while_messages_and_values_pass() {
    const air = new Air({ delayMs: 1 });
    const [a, b, told] = await pair(air);
    const files = [random(100_000), random(0), random(1024), new Blob([random(3000)])];
    const take = async (link, got) => {
      for await (const { name, bytes } of receiveFiles(link)) {
        if (got.push([name, bytes]) === files.length) break;
      }
    };
    const give = async (link) => {
      let dropped = false;
      const progress = (done) => {
        if (dropped || done < 50_000) return;
        dropped = true;
        air.drop();
      };
      for (const [i, file] of files.entries()) await sendFile(link, file, `some/file ${i}`, { progress });
    };
    const got = [[], []];
    const stick = b.newest(1);
    a.newest(1).send({ x: 5 });
    await Promise.all([give(a), give(b), take(a, got[0]), take(b, got[1])]);
    for (const each of got) {
      assert.deepEqual(each.map(([name]) => name), files.map((_, i) => `some/file ${i}`));
      for (const [i, [, bytes]] of each.entries()) {
        assert.deepEqual(bytes, files[i] instanceof Blob ? new Uint8Array(await files[i].arrayBuffer()) : files[i]);
      }
    }
    assert.deepEqual(stick.latest(), { x: 5 });
    await a.send("a message");
    assert.equal(await b.recv(), "a message");
    assert.ok(told.a.some(([event]) => event === "disconnected"));
    await close(a, b);
  },

  async a_file_goes_on_where_it_was_when_its_sender_has_restarted() {
    const air = new Air({ delayMs: 1 });
    const [a, b] = await pair(air);
    const file = random(60_000);
    const got = (async () => {
      for await (const each of receiveFiles(b)) return each;
    })();
    const stop = new Error("enough");
    const progress = (done) => {
      if (done > 30_000) throw stop;
    };
    await assert.rejects(sendFile(a, file, "log.csv", { progress }), stop);
    await a.flush();
    await a.leave();
    const again = await advertise("PicoA", { radio: air, identity: BOARD, onEvent() {} });
    const seen = [];
    await sendFile(again, file, "log.csv", { progress: (done) => seen.push(done) });
    assert.deepEqual((await got).bytes, file);
    assert.ok(seen[0] > 30_000, `began at ${seen[0]}`);
    await close(again, b);
  },

  async another_file_of_that_name_begins_anew() {
    const air = new Air({ delayMs: 1 });
    const [a, b] = await pair(air);
    const receiving = receiveFiles(b);
    const first = receiving.next();
    const progress = (done) => {
      if (done > 9000) throw new Error("enough");
    };
    await assert.rejects(sendFile(a, random(20_000), "log.csv", { progress }));
    const other = random(30_000);
    await sendFile(a, other, "log.csv");
    assert.deepEqual((await first).value.bytes, other);
    await close(a, b);
  },

  async files_that_are_refused() {
    const [a, b] = await pair(new Air({ delayMs: 1 }));
    const took = [];
    const taking = (async () => {
      for await (const { name } of receiveFiles(b, { allow: (name) => name !== "secret", maxSize: 5000 })) took.push(name);
    })();
    const refused = (...file) => assert.rejects(sendFile(a, ...file), FileError);
    for (const name of ["secret", "../up", "/root", "a//b", ".hidden", "c:x", "x.", "COM3", "a/nul.txt", "lpt¹", "x".repeat(101), "a/b/c/d/e/f/g"]) {
      await refused(random(5), name);
    }
    await refused(random(5001), "large");
    await assert.rejects(sendFile(a, "text", "name"), TypeError);
    await assert.rejects(sendFile(a, random(5)), TypeError);
    await assert.rejects(fetchFile(a, "any"), /no files can be fetched there/);
    await assert.rejects(receiveFiles(b).next(), /receives files already/);
    for (const name of ["fine", "comb", "com10", "x.con"]) await sendFile(a, random(5), name);
    assert.deepEqual(took, ["fine", "comb", "com10", "x.con"]);
    await a.close();
    await taking;
    await assert.rejects(sendFile(a, random(5), "late"), LinkClosedError);
    await b.close();
  },

  async files_have_limits_of_time_where_nobody_receives() {
    const [a, b] = await pair(new Air());
    const began = performance.now();
    await assert.rejects(sendFile(a, random(5), "name", { timeoutMs: 50 }), TimeoutError);
    await assert.rejects(fetchFile(a, "name", { timeoutMs: 50 }), TimeoutError);
    assert.ok(performance.now() - began < 4900);
    await close(a, b);
  },

  async files_beside_values_go_in_small_pieces() {
    const [a, b] = await pair(new Air());
    const receiving = receiveFiles(b);
    const sizes = [];
    const give = async (name) => {
      const came = receiving.next();
      let last = 0;
      await sendFile(a, random(3000), name, { progress: (done) => { sizes.push(done - last); last = done; } });
      await came;
    };
    await give("one");
    a.newest(1);
    await give("two");
    assert.deepEqual([sizes[0], sizes[3]], [1024, 224]);
    await close(a, b);
  },

  async hostile_messages_on_the_channel_of_files_do_no_harm() {
    const [a, b] = await pair(new Air({ delayMs: 1 }));
    const receiving = receiveFiles(b);
    const first = receiving.next();
    for (const kind of [0, 1, 2, 3, 4, 5, 16, 17, 18, 19, 255]) {
      for (const size of [0, 1, 6, 7, 8, 39, 40]) {
        const message = random(size);
        if (size) message[0] = kind;
        await a.send(message, { channel: 15 });
        if (size) await a.send({ kind }, { channel: 15 });
      }
    }
    const file = random(2000);
    await sendFile(a, file, "fine");
    assert.deepEqual((await first).value, { name: "fine", bytes: file });
    await a.send("a message");
    assert.equal(await b.recv(), "a message");
    await close(a, b);
  },

  async files_on_a_link_with_commit() {
    const [a, b] = await pair(new Air({ delayMs: 1 }), { commit: true });
    const receiving = receiveFiles(b);
    const first = receiving.next();
    await sendFile(a, random(20_000), "first");
    assert.equal((await first).value.name, "first");
    await a.send("for the program");
    const second = receiving.next();
    const sending = sendFile(a, random(20_000), "second");
    assert.equal(await b.recv(), "for the program");
    b.commit();
    await sending;
    assert.equal((await second).value.name, "second");
    await close(a, b);
  },

  async values_on_a_link_whose_program_never_commits() {
    const [a, b] = await pair(new Air({ delayMs: 1 }), { commit: true, rxSize: 256, txSize: 256 });
    const [there, here] = [a.newest(1), b.newest(1)];
    for (let i = 0; i < 100; i++) {
      there.send(i); // more than a ring holds
      while ((await here.recv({ timeoutMs: 3000 })) !== i);
    }
    await close(a, b);
  },

  async a_channel_is_for_one_thing() {
    const [a, b] = await pair(new Air());
    a.newest(15);
    await assert.rejects(sendFile(a, random(5), "name"), /channel 15 of this link is used for something else/);
    const first = receiveFiles(b).next();
    assert.throws(() => b.newest(15), RangeError);
    await close(a, b);
    await first;
  },

  async a_write_that_hangs_in_an_old_connection_does_not_hold_up_the_next_one() {
    const written = [];
    let write = () => new Promise(() => {});
    const characteristic = { addEventListener() {}, startNotifications() {}, writeValueWithoutResponse: (packet) => write(packet) };
    const service = { getCharacteristic: () => characteristic };
    const gatt = { connect: () => ({ getPrimaryService: () => service }), disconnect() {} };
    const role = bluetooth.connect("PicoA", { device: { id: "1", name: "PicoA", gatt } });
    const policy = { limit() {}, adopt() {}, call() {}, bells: { wake() {} } };
    role.serve(policy);
    await role.establish({});
    policy.transmit("old");
    await role.hangUp();
    write = async (packet) => written.push(packet);
    await role.establish({});
    policy.transmit("new");
    policy.transmit("newer");
    await sleep(10);
    assert.deepEqual(written, ["new", "newer"]);
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
