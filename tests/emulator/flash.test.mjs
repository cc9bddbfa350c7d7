// The flash chip: what a call leaves under which power is cut.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Flash } from '../../py/picolink_pc/emulator/flash.mjs';

const SECTOR = 4096;

function written() {
  const flash = new Flash();
  flash.program(0, new Uint8Array(SECTOR).fill(0x55));
  flash.endsAt(100);
  return flash;
}

test('a call that is over stays done', () => {
  const flash = written();
  assert.equal(flash.cut(100), false);
  assert.ok(flash.bytes.subarray(0, SECTOR).every((byte) => byte === 0x55));
});

test('under programming, the first bytes are there and the rest as before', () => {
  const flash = written();
  assert.equal(flash.cut(99), true);
  const bytes = flash.bytes.subarray(0, SECTOR);
  const done = bytes.findIndex((byte) => byte === 0xff);
  assert.ok(bytes.every((byte, i) => byte === (i < done || done < 0 ? 0x55 : 0xff)));
});

test('under erasing, bits are on their way to 1', () => {
  const flash = written();
  flash.erase(0, SECTOR);
  flash.endsAt(200);
  assert.equal(flash.cut(150), true);
  const bytes = flash.bytes.subarray(0, SECTOR);
  assert.ok(bytes.every((byte) => (byte & 0x55) === 0x55));
  assert.ok(new Set(bytes).size > 8);
});

test('power that is cut twice tears one call', () => {
  const flash = written();
  flash.cut(99);
  assert.equal(flash.cut(99), false);
});
