// The model of the Pico W's radio chip, word by word.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BACKPLANE, BluetoothHost, BUS, Host, RINGS, WLAN } from './gspi_host.mjs';

const text = (string) => Buffer.from(`${string}\0`);
const words = (...values) => Buffer.from(Uint32Array.from(values).buffer);

test('without power nothing answers', () => {
  const host = new Host();
  assert.equal(host.read(BUS, 0x14), 0);
  assert.deepEqual(host.problems, []);
});

test('after power-on it takes 16-bit words, and answers with its test pattern', () => {
  const host = new Host();
  host.chip.setPower(true);
  assert.equal(host.read(BUS, 0x14), 0xfeedbead);
  // Read, increment, function 0, address 0x14, 4 bytes: 0x4000a004, its lower half first.
  assert.deepEqual(host.transfer([0xa0044000], 1), [0xbeadfeed]);
});

test('the driver switches it to 32-bit words', () => {
  const host = new Host().start();
  assert.equal(host.read(BUS, 0x00), 0x000204b3);
  assert.equal(host.read(BUS, 0x14), 0xfeedbead);
  assert.equal(host.read(BUS, 0x0c, 2), 3);
});

test('power off and on again forgets the words, the window and what was told', () => {
  const host = new Host().start();
  host.get(0x1800beec);
  assert.equal(host.problems.length, 1);
  host.chip.setPower(false);
  assert.equal(host.read(BUS, 0x14), 0);
  host.chip.setPower(true);
  host.order = (word) => ((word << 16) | (word >>> 16)) >>> 0;
  assert.equal(host.read(BUS, 0x14), 0xfeedbead);
  host.start().get(0x1800beec);
  assert.equal(host.problems.length, 2);
  assert.deepEqual(host.told.power, [true, false, true]);
});

test('what the backplane answers comes after the pause that was asked for', () => {
  const host = new Host().start();
  const address = host.window(0x18103800);
  const answer = host.transfer([host.order(host.command(0, BACKPLANE, address, 4))], 5);
  assert.deepEqual(answer.slice(0, 4), [0, 0, 0, 0]);
  assert.equal(host.order(answer[4]), 1);
});

test('both cores wait in reset, and the fast clock runs 29 ms after the processor', () => {
  const host = new Host().start();
  assert.equal(host.get(0x18103800, 1), 1);
  assert.equal(host.get(0x18104800, 1), 1);
  host.write(BACKPLANE, 0x1000e, 8, 1);
  assert.equal(host.read(BACKPLANE, 0x1000e, 1), 0x48);
  assert.equal(host.read(BUS, 0x08) & 0x20, 0);
  host.startWlan();
  assert.equal(host.read(BUS, 0x08) & 0x20, 0x20);
  host.nanos = 28e6;
  assert.equal(host.read(BACKPLANE, 0x1000e, 1), 0x48);
  host.nanos = 29e6;
  assert.equal(host.read(BACKPLANE, 0x1000e, 1), 0xc8);
});

test('memory keeps what is downloaded, to the last word', () => {
  const host = new Host().start();
  const block = Buffer.from(Array.from({ length: 64 }, (_, i) => i * 5));
  host.writeBytes(BACKPLANE, host.window(0x12340), block);
  assert.deepEqual(host.readBytes(BACKPLANE, host.window(0x12340), 64), block);
  host.set(0x7fffc, 0xff2200dd);
  assert.equal(host.get(0x7fffc), 0xff2200dd);
  host.set(0x19640894, 3);
  assert.equal(host.get(0x19640894), 3);
  host.write(BACKPLANE, 0x10008, 0x10, 1);
  assert.equal(host.read(BACKPLANE, 0x10008, 1), 0x10);
  host.write(BACKPLANE, 0x1001f, 1, 1); // keep awake
  assert.equal(host.read(BACKPLANE, 0x1001f, 1), 3); // it is
  assert.deepEqual(host.problems, []);
});

test('a control packet is answered with its number, and credit for more', () => {
  const host = new Host().start();
  host.startWlan();
  assert.equal(host.packet(), undefined);
  host.control(262, Buffer.concat([text('cur_etheraddr'), Buffer.alloc(6)]), { sequence: 250, flags: 0x00420000 });
  const packet = host.packet();
  assert.equal(packet.readUInt16LE(0) ^ packet.readUInt16LE(2), 0xffff);
  assert.equal(packet[9], 2); // 250 + 8
  assert.equal(packet.readUInt32LE(12), 262);
  assert.equal(packet.readUInt32LE(20), 0x00420000);
  assert.equal(packet.readUInt32LE(24), 0); // status
  assert.deepEqual([...packet.subarray(28, 34)], [0x28, 0xcd, 0xc1, 1, 2, 3]);
  assert.equal(host.packet(), undefined);
  host.control(263, Buffer.concat([text('clmload'), words(0x1002 | (2 << 16), 4, 0), Buffer.alloc(4)]));
  host.control(262, text('clmload_status'));
  assert.deepEqual([host.packet()[28], host.packet()[28]], ['c'.charCodeAt(0), 0]);
  assert.deepEqual(host.problems, []);
});

test('the LED is one of the chip’s pins', () => {
  const host = new Host().start();
  const set = (mask, value) => host.control(263, Buffer.concat([text('gpioout'), words(mask, value)]));
  set(1, 1);
  set(1, 1);
  set(2, 2);
  host.packet();
  host.packet();
  host.packet();
  host.control(262, text('ccgpioin'));
  assert.equal(host.packet().readUInt32LE(28), 3);
  set(1, 0);
  assert.deepEqual(host.told.led, [true, false]);
});

test('Wi-Fi is not there, and that is told', () => {
  const host = new Host().start();
  host.control(263, Buffer.concat([text('escan'), Buffer.alloc(16)]));
  assert.match(host.problems[0], /Wi-Fi, which is not modelled: WLAN variable 'escan'/);
  host.control(26, Buffer.alloc(36));
  assert.match(host.problems[1], /WLAN command 26 /);
  const data = Buffer.alloc(64);
  data.writeUInt16LE(64, 0);
  data.writeUInt16LE(~64 & 0xffff, 2);
  data[5] = 2;
  data[7] = 14;
  host.writeBytes(WLAN, 0, data);
  assert.match(host.problems[2], /a packet for the air was dropped/);
  host.writeBytes(WLAN, 0, Buffer.alloc(64, 0xee));
  assert.match(host.problems[3], /a WLAN packet of 64 bytes with a damaged header/);
});

test('the interrupt line follows what is enabled; a cause that is still there cannot be cleared', () => {
  const host = new Host().start();
  host.control(262, text('clmver'));
  assert.equal(host.interrupt, false);
  host.write(BUS, 0x06, 0x20, 2);
  assert.equal(host.interrupt, true);
  host.write(BUS, 0x04, 0x20, 2);
  assert.equal(host.read(BUS, 0x04, 2), 0x20);
  assert.equal(host.interrupt, true);
  host.packet();
  assert.equal(host.interrupt, false);
  assert.equal(host.read(BUS, 0x04, 2), 0);
});

test('a read without a packet is an underflow, cleared by writing a one', () => {
  const host = new Host().start();
  assert.equal(host.readBytes(WLAN, 0, 16).every((byte) => byte === 0), true);
  assert.match(host.problems[0], /a read of a WLAN packet when there is none/);
  assert.equal(host.read(BUS, 0x04, 2), 2);
  host.write(BUS, 0x04, 2, 2);
  assert.equal(host.read(BUS, 0x04, 2), 0);
});

test('Bluetooth is ready only after its firmware has come', () => {
  const host = new Host().start();
  assert.equal(host.get(0x18000c7c), 0);
  host.set(0x190d0000, 1);
  assert.equal(host.get(0x18000c7c), (1 << 24) | (1 << 8));
  assert.equal(host.get(0x18000d68), RINGS);
});

test('packets of the host are taken when it rings, not before', () => {
  const host = new BluetoothHost().start();
  host.set(RINGS, 0x01000003); // length 3, a command
  host.set(RINGS + 4, 0x00000c03);
  host.set(RINGS + 0x2000, 8);
  assert.deepEqual(host.told.hci, []);
  host.ring();
  assert.deepEqual(host.told.hci.map((packet) => [...packet]), [[1, 3, 0x0c, 0]]);
  assert.deepEqual(host.indices(), [8, 8, 0, 0]);
  host.set(0x18000d6c, host.control_ | (1 << 17)); // wake up: no bell
  assert.equal(host.told.hci.length, 1);
});

test('packets of the host of any size pass, across the end of the ring too', () => {
  const host = new BluetoothHost().start();
  const sent = [];
  for (let length = 0; length < 256; length += 17) {
    const packet = [2, ...Array.from({ length }, (_, i) => (i + length) & 0xff)];
    sent.push(packet, packet);
    host.send(packet, packet);
  }
  assert.ok(sent.flat().length > 0x1000);
  assert.deepEqual(host.told.hci.map((packet) => [...packet]), sent);
  assert.deepEqual(host.problems, []);
});

test('a packet for the host raises an interrupt until it is cleared', () => {
  const host = new BluetoothHost().start();
  assert.equal(host.interrupt, false);
  host.chip.sendHci(Uint8Array.of(4, 0x0e, 1, 0));
  assert.equal(host.interrupt, true);
  assert.equal(host.get(0x18002020), 0x20);
  assert.equal(host.read(BUS, 0x04, 2), 0x2000);
  assert.deepEqual([...host.receive()], [4, 0x0e, 1, 0]);
  assert.equal(host.interrupt, true);
  host.set(0x18002020, 0x20);
  assert.equal(host.interrupt, false);
  assert.equal(host.receive(), undefined);
});

test('what has no room in the ring for the host waits, in order', () => {
  const host = new BluetoothHost().start();
  const packets = Array.from({ length: 40 }, (_, n) => Uint8Array.from({ length: 200 + n }, (_, i) => (i ? n : 2)));
  packets.forEach((packet) => host.chip.sendHci(packet));
  const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
  assert.ok(host.chip.backlog >= bytes);
  const [, , end, start] = host.indices();
  assert.ok(end - start < 0x1000 - 3 && end - start > 0x1000 - 250);
  for (const packet of packets) {
    assert.deepEqual([...host.receive()], [...packet]);
  }
  assert.equal(host.receive(), undefined);
  assert.equal(host.chip.backlog, 0);
  assert.deepEqual(host.problems, []);
});

for (const [what, act, message] of [
  ['function 3', (host) => host.read(3, 0x10), /a read of 4 bytes at 0x10 of function 3/],
  ['a register of the bus', (host) => host.read(BUS, 0x30), /a read of 4 bytes at 0x30 of the bus/],
  ['a write to what is only read', (host) => host.write(BUS, 0x14, 1), /a write of 4 bytes at 0x14 of the bus/],
  ['a status after each transaction', (host) => host.write(BUS, 0x02, 1, 1), /its status after each transaction/],
  ['a register behind the window', (host) => host.read(BACKPLANE, 0x10017, 1), /a read of register 0x10017/],
  ['a write there', (host) => host.write(BACKPLANE, 0x10017, 9, 1), /a write of 0x9 to register 0x10017/],
  ['an address', (host) => host.get(0x18001234), /a read of 4 bytes at 0x18001234/],
  ['a write there, too', (host) => host.set(0x18001234, 77), /a write of 4 bytes \(0x4d\) at 0x18001234/],
  ['a block of registers', (host) => host.readBytes(BACKPLANE, host.window(0x18103800), 64), /a read of 64 bytes/],
  ['an unknown bit', (host) => host.set(0x18000d6c, 0x10), /0x10 in the register HOST_CTRL/],
  ['a register of the chip', (host) => host.set(0x18000d68, 1), /a write to the register WLAN_RAM_BASE/],
]) {
  test(`what is not known is answered with zeros and told, once: ${what}`, () => {
    const host = new Host().start();
    act(host);
    act(host);
    assert.equal(host.problems.length, 1);
    assert.match(host.problems[0], message);
    assert.equal(host.read(BUS, 0x14), 0xfeedbead);
  });
}

test('a transaction that is cut short does nothing, and is told', () => {
  const host = new Host().start();
  host.transfer([host.order(host.command(1, BACKPLANE, host.window(0x100), 8)), 0x11223344], 0);
  assert.match(host.problems[0], /a write of 8 bytes at 0x8100 of the backplane ended after 4 bytes/);
  assert.equal(host.get(0x100), 0);
  assert.equal(host.read(BUS, 0x04, 2), 8);
});

test('words beyond the length of a transaction are told', () => {
  const host = new Host().start();
  host.transfer([host.order(host.command(1, BUS, 0x18, 4)), 1, 2], 0);
  assert.match(host.problems[0], /the host goes on writing after a write of 4 bytes at 0x18/);
  host.transfer([host.order(host.command(0, BUS, 0x18, 4)), 1], 0);
  assert.match(host.problems[1], /the host goes on writing in a read of 4 bytes/);
});

for (const [what, header, end] of [
  ['a type that HCI has not', 0x09000003, 8],
  ['more than there is', 0x02000100, 8],
  ['an index that is no multiple of 4', 0x01000003, 7],
]) {
  test(`nonsense in the ring from the host is told and dropped: ${what}`, () => {
    const host = new BluetoothHost().start();
    host.set(RINGS, header);
    host.set(RINGS + 0x2000, end);
    host.ring();
    assert.equal(host.problems.length, 1);
    assert.match(host.problems[0], /in the ring from the host/);
    assert.deepEqual(host.told.hci, []);
  });
}
