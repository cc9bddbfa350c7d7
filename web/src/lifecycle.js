// The states of a link and of its connection, and what leads where: py/picolink/lifecycle.py, number by number.

// A link.
export const OPEN = 0, NEW = 1, OPENING = 2, ENDING = 3, ENDED = 4, LEAVING = 5, PEER_ENDED = 6, BOTH_ENDED = 7;
export const CLOSED = 8, FAILED = 9;

// Its connection. Packets are taken from GREETING on.
export const APART = 16, HANGING_UP = 17, SEEKING = 18, SETTING_UP = 19, WAITING = 20, READY = 21;
export const GREETING = 22, CONNECTED = 23;

// What happens to them.
export const OPENED = 32, MET = 33, CLOSE = 34, END_QUEUED = 35, END_CAME = 36, SHUT = 37, FAIL = 38, LEAVE = 39;
export const SEEK = 48, ADOPT = 49, BEGIN = 50, CALLED = 51, START = 52, GREETED = 53, HANG_UP = 54, GONE = 55;

const ANY = -1;

// Before, event, after; the first row that fits counts.
export const TRANSITIONS = [
  [NEW, OPENED, OPENING],
  [NEW, CLOSE, CLOSED],
  [NEW, LEAVE, CLOSED],
  [OPENING, MET, OPEN],
  [OPENING, CLOSE, CLOSED],
  [OPENING, LEAVE, CLOSED],
  [OPEN, CLOSE, ENDING],
  [OPEN, LEAVE, LEAVING],
  [OPEN, END_CAME, PEER_ENDED],
  [ENDING, END_QUEUED, ENDED],
  [ENDING, END_CAME, PEER_ENDED],
  [ENDED, END_CAME, BOTH_ENDED],
  [LEAVING, END_CAME, PEER_ENDED],
  [CLOSED, FAIL, CLOSED],
  [FAILED, SHUT, FAILED],
  [ANY, SHUT, CLOSED],
  [ANY, FAIL, FAILED],
  [APART, SEEK, SEEKING],
  [SEEKING, ADOPT, SETTING_UP],
  [SETTING_UP, BEGIN, WAITING],
  [SETTING_UP, CALLED, READY],
  [WAITING, CALLED, READY],
  [READY, START, GREETING],
  [GREETING, GREETED, CONNECTED],
  [HANGING_UP, GONE, APART],
  [APART, HANG_UP, APART],
  [ANY, HANG_UP, HANGING_UP],
];

/** The state that an event leads to; the same one where no row fits. */
export function after(state, event) {
  const row = TRANSITIONS.find(([before, what]) => what === event && (before === state || before === ANY));
  return row ? row[2] : state;
}
