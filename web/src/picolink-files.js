// Files over a link: py/picolink/files.py, with bytes in memory where that has a file system. docs/files.md has
// what goes over the air.
import { taker } from "./picolink-newest.js";
import { LinkClosedError, TimeoutError } from "./picolink.js";

const CHANNEL = 15;
const HEADER = 7; // kind, number of the transfer, value
const OFFER = 1, DATA = 2, END = 3, FETCH = 4, ABSENT = 5; // to who receives
const HAVE = 16, DONE = 17, AGAIN = 18, REFUSED = 19; // to who sends
const RECEIVER = 0, SENDER = 1;

const DEVICE = /^(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\.|$)/i; // of Windows, in every folder
const PIECE = 1024; // bytes of a file in one message
const SMALL = 224; // likewise beside newest values, which wait for the message that is on its way
const NAME = 100, DEPTH = 5;
const ANSWER_MS = 5000;
const ANSWERS = 6; // so many missing ones in a row: nobody receives
const NOBODY = "no answer: the program there has to call picolink.receive_files()";

/** A file cannot be sent or received: the text says why. */
export class FileError extends Error {
  name = "FileError";
}

const encode = (text) => new TextEncoder().encode(text);
const decode = (message) => new TextDecoder().decode(message.subarray(HEADER));
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const view = (message) => new DataView(message.buffer, message.byteOffset);
const numberOf = (message) => view(message).getUint16(1, true);
const valueOf = (message) => view(message).getUint32(3, true);
const anyNumber = () => crypto.getRandomValues(new Uint16Array(1))[0];

/** What comes on the channel of files, for its two sides. */
class Port {
  receives = false;
  #link;
  #inside; // the link's
  #boxes = [null, null];
  #held = null; // one for who receives, behind that in its box
  #sending = Promise.resolve();

  static of(link) {
    link.inside.policy.checkOpen();
    return taker(link.inside, CHANNEL, Port, () => new Port(link));
  }

  constructor(link) {
    this.#link = link;
    this.#inside = link.inside;
  }

  ready() {
    return !this.#held;
  }

  take([first, message]) {
    if (first & 0x70 || message.length < HEADER) return; // nobody sends that
    const side = message[0] >= HAVE ? SENDER : RECEIVER;
    if (side === RECEIVER && this.receives && this.#boxes[side]) {
      if (!same(message, this.#boxes[side])) this.#held = message;
      return;
    }
    // Of answers, and of what nobody receives, only the last one counts: they never hold up the rest.
    this.#boxes[side] = message;
    this.#inside.tell();
  }

  /** The next message for this side. */
  async next(side, timeoutMs) {
    const come = () => {
      this.#inside.messages.readable();
      return this.#boxes[side];
    };
    await this.#inside.wait(come, timeoutMs);
    const message = this.#boxes[side];
    this.#boxes[side] = null;
    if (side === RECEIVER) this.#goOn();
    return message;
  }

  #goOn() {
    const held = this.#held;
    this.#held = null;
    if (held) this.take([0, held]);
  }

  receive(on) {
    this.receives = on;
    this.#goOn();
  }

  look() {
    this.#inside.messages.readable();
    const message = this.#boxes[SENDER];
    this.#boxes[SENDER] = null;
    return message;
  }

  send(kind, number, value, bytes = [], timeoutMs) {
    const message = new Uint8Array(HEADER + bytes.length);
    message[0] = kind;
    view(message).setUint16(1, number, true);
    view(message).setUint32(3, value, true);
    message.set(bytes, HEADER);
    return this.#link.send(message, { channel: CHANNEL, timeoutMs });
  }

  /** What is said to this transfer; null: nothing is, though the other side has all that was sent. */
  async answer(number, timeoutMs) {
    await this.#link.flush({ timeoutMs });
    for (;;) {
      try {
        const answer = about(number, await this.next(SENDER, answerMs(timeoutMs)));
        if (answer) return answer;
      } catch (error) {
        if (!(error instanceof TimeoutError) || isOver(timeoutMs)) throw error;
        return null;
      }
    }
  }

  get piece() {
    return this.#inside.policy.values ? SMALL : PIECE;
  }

  /** One file at a time. */
  inTurn(work) {
    const done = this.#sending.then(work);
    this.#sending = done.catch(() => {});
    return done;
  }
}

/** How long to wait for one answer. */
const answerMs = (timeoutMs = ANSWER_MS) => Math.min(ANSWER_MS, timeoutMs);

/** Whether a program's limit ends with one wait for an answer; else what was asked is asked again. */
const isOver = (timeoutMs) => timeoutMs <= ANSWER_MS;

/** The answer, if it is to this transfer; raises FileError if it says that the file is refused. */
function about(number, answer) {
  if (!answer || numberOf(answer) !== number) return null;
  if (answer[0] === REFUSED) throw new FileError(`refused: ${decode(answer)}`);
  return answer;
}

// -- sending

/** See picolink-files.d.ts. */
export async function sendFile(link, data, name = data.name, { progress, timeoutMs } = {}) {
  if (typeof name !== "string") throw new TypeError(`a file needs a name, a string, not ${name}`);
  const bytes = data instanceof Blob ? new Uint8Array(await data.arrayBuffer()) : bytesOf(data);
  const port = Port.of(link);
  await port.inTurn(() => transmit(port, bytes, name, progress, timeoutMs));
}

function bytesOf(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw new TypeError(`a file is a Blob or bytes, not ${Object.prototype.toString.call(data)}`);
}

async function transmit(port, bytes, name, progress, timeoutMs) {
  const size = bytes.length;
  let number = anyNumber();
  let most = 0;
  for (let tries = 0; tries < ANSWERS; number = (number + 1) & 0xffff) {
    const [have, proof] = await offered(port, size, name, number, timeoutMs);
    let offset = same(await sha256(bytes.subarray(0, have)), proof) ? have : 0;
    let answer = null;
    while (offset < size && !answer) {
      const piece = bytes.subarray(offset, offset + port.piece);
      await port.send(DATA, number, offset, piece, timeoutMs);
      offset += piece.length;
      progress?.(offset, size);
      answer = about(number, port.look());
    }
    if (!answer) {
      await port.send(END, number, size, await sha256(bytes), timeoutMs);
      answer = await port.answer(number, timeoutMs);
      if (answer?.[0] === DONE) return;
    }
    tries = have > most ? 0 : tries + 1;
    most = Math.max(most, have);
  }
  throw new FileError("the other side begins again and again");
}

/** Offer the file. How many bytes of it the other side has, and their SHA-256. */
async function offered(port, size, name, number, timeoutMs) {
  for (let missing = 0; missing < ANSWERS; missing += 1) {
    await port.send(OFFER, number, size, encode(name), timeoutMs);
    const answer = await port.answer(number, timeoutMs);
    if (answer?.[0] === HAVE && answer.length === HEADER + 32) {
      return valueOf(answer) <= size ? [valueOf(answer), answer.subarray(HEADER)] : [0, []];
    }
  }
  throw new FileError(NOBODY);
}

// -- receiving

/** What comes of files, one at a time. */
class Receiver {
  #port;
  #allow;
  #maxSize;
  #progress;
  #unknown = null; // the number of a transfer that is told to begin again
  #number = null; // of the transfer under way
  #name = "";
  #size = 0;
  #have = 0; // bytes when it began
  #bytes = new Uint8Array(0); // also of a file that is continued later
  #at = 0;

  constructor(port, { allow, maxSize = 1 << 24, progress } = {}) {
    if (port.receives) throw new Error("this link receives files already");
    port.receive(true);
    this.#port = port;
    this.#allow = allow;
    this.#maxSize = maxSize;
    this.#progress = progress;
  }

  /** A file that is whole, {name, bytes}; else null. */
  async handle(message) {
    const [kind, number, value] = [message[0], numberOf(message), valueOf(message)];
    try {
      if (kind === OFFER) await this.#offer(number, value, decode(message));
      else if (kind === FETCH) await this.#port.send(ABSENT, number, 0, encode("no files can be fetched there"));
      else if (kind !== DATA && kind !== END) return null;
      else if (number !== this.#number) await this.#again(number);
      else if (kind === DATA) await this.#write(number, value, message.subarray(HEADER));
      else return await this.#end(number, value, message.subarray(HEADER));
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      this.#number = null;
      this.#unknown = number; // what still comes of it is not answered: this answer counts
      await this.#port.send(REFUSED, number, 0, encode(error.message));
    }
    return null;
  }

  async #again(number) {
    this.#number = null;
    if (this.#unknown === number) return;
    this.#unknown = number;
    await this.#port.send(AGAIN, number, 0);
  }

  async #offer(number, size, name) {
    this.#number = null;
    check(name);
    if (this.#allow && !this.#allow(name)) throw new FileError(`this name is not allowed there: '${name}'`);
    if (size > this.#maxSize) throw new FileError(`no room: a file has ${this.#maxSize} bytes there at most, not ${size}`);
    if (name !== this.#name || this.#at > size) this.#at = 0;
    const begun = this.#bytes.subarray(0, this.#at);
    this.#bytes = new Uint8Array(size);
    this.#bytes.set(begun);
    this.#name = name;
    this.#size = size;
    this.#have = this.#at;
    this.#number = number;
    await this.#port.send(HAVE, number, this.#at, await sha256(begun));
  }

  async #write(number, offset, piece) {
    if (offset === 0 && this.#at === this.#have) this.#at = this.#have = 0; // it is another file
    if (offset !== this.#at || offset + piece.length > this.#size) return this.#again(number);
    this.#bytes.set(piece, offset);
    this.#at += piece.length;
    this.#progress?.(this.#name, this.#at, this.#size);
    return undefined;
  }

  async #end(number, size, hash) {
    if (this.#at !== this.#size || size !== this.#size) {
      await this.#again(number);
      return null;
    }
    const [name, bytes] = [this.#name, this.#bytes];
    this.#number = null;
    this.#at = 0;
    this.#bytes = new Uint8Array(0);
    if (!same(await sha256(bytes), hash)) throw new FileError("it has arrived damaged");
    await this.#port.send(DONE, number, size);
    return { name, bytes };
  }
}

/** Raises FileError unless a file may have this name: what a system could take for another folder, drive or device. */
function check(name) {
  const parts = name.split("/");
  if ([...name].length > NAME || parts.length > DEPTH + 1) {
    throw new FileError(
      `a name has ${NAME} characters and ${DEPTH} folders at most, not ${[...name].length} and ${parts.length - 1}`,
    );
  }
  if (parts.some((part) => DEVICE.test(part) || !/^[^.\0-\x1f\\:*?"<>|][^\0-\x1f\\:*?"<>|]*$/.test(part) || /[. ]$/.test(part))) {
    throw new FileError(`no file below the folder may have this name: '${name}'`);
  }
}

/** See picolink-files.d.ts. */
export async function* receiveFiles(link, options) {
  const port = Port.of(link);
  const receiver = new Receiver(port, options);
  try {
    for (;;) {
      const file = await receiver.handle(await port.next(RECEIVER));
      if (file) yield file;
    }
  } catch (error) {
    if (!(error instanceof LinkClosedError)) throw error;
  } finally {
    port.receive(false);
  }
}

/** See picolink-files.d.ts. */
export async function fetchFile(link, name, { progress, maxSize, timeoutMs } = {}) {
  const port = Port.of(link);
  const receiver = new Receiver(port, { allow: (offered) => offered === name, maxSize, progress });
  const number = anyNumber();
  try {
    for (let missing = 0; missing < ANSWERS; ) {
      await port.send(FETCH, number, 0, encode(name), timeoutMs);
      await link.flush({ timeoutMs });
      try {
        for (;;) {
          const message = await port.next(RECEIVER, answerMs(timeoutMs));
          missing = 0;
          if (message[0] === ABSENT && numberOf(message) === number) throw new FileError(decode(message));
          const file = await receiver.handle(message);
          if (file) return file.bytes;
        }
      } catch (error) {
        if (!(error instanceof TimeoutError) || isOver(timeoutMs)) throw error;
        missing += link.connected;
      }
    }
  } finally {
    port.receive(false);
  }
  throw new FileError(NOBODY);
}
