// The model of the flash cache: 1,024 sets of two lines of 8 bytes.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FlashCache } from '../../py/picolink_pc/emulator/flash_cache.mjs';

const WAY = 8 * 1024; // addresses so far apart share a set
const reads = (cache, ...offsets) => offsets.map((offset) => cache.read(offset));

test('a line is fetched once, whole', () => {
  const cache = new FlashCache(50);
  assert.deepEqual(reads(cache, 0, 2, 7, 4, 8, 0, 15, 16), [50, 0, 0, 0, 50, 0, 0, 50]);
  assert.equal(cache.misses, 3);
});

test('two lines of a set stay, and the one that was not used for longer goes', () => {
  const cache = new FlashCache(30);
  assert.deepEqual(reads(cache, 0, WAY, 0, WAY), [30, 30, 0, 0]);
  assert.deepEqual(reads(cache, 2 * WAY, WAY, 0), [30, 0, 30]);
});

test('16 KiB in a row fit, and one line more does not', () => {
  const lines = Array.from({ length: 2048 }, (_, i) => 8 * i);
  const cache = new FlashCache(1);
  reads(cache, ...lines);
  reads(cache, ...lines);
  assert.equal(cache.misses, 2048);
  reads(cache, 8 * 2048, ...lines);
  assert.ok(cache.misses > 2049);
});

test('flushed it is empty', () => {
  const cache = new FlashCache(1);
  reads(cache, 0, 8);
  cache.flush();
  assert.deepEqual(reads(cache, 8, 0), [1, 1]);
});
