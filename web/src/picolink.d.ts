/** picolink in browsers and Node: the calls of the Python package, in JavaScript's spelling. */

/** bytes, text, or an object: null, booleans, numbers, bigints, text, bytes, arrays and objects of them. */
export type Value = null | boolean | number | bigint | string | Uint8Array | Value[] | { [key: string]: Value };

export interface LinkOptions {
  /** What both sides must have: the text that `picolink key new` prints, or 16 random bytes or more.  Needs a name. */
  key?: string | Uint8Array;
  /** Bytes of the rings: powers of two from 256 to 32768; 8192 by default. */
  txSize?: number;
  rxSize?: number;
  /** What was read is acknowledged for good only by commit(). */
  commit?: boolean;
  /** Stay with the first board met under this name, also after a reload, until forget(). */
  remember?: boolean;
  /** Called with "connected", "disconnected" and so on (docs/reliability.md), and a text for people. An
   * exception that it raises ends the link. By default it prints. */
  onEvent?: (event: string, detail: string) => void;
  /** How packets travel; Web Bluetooth by default. */
  radio?: Radio;
  /** 8 bytes that name this side; by default the browser keeps them for the page. */
  identity?: Uint8Array;
  /** A device that the person has chosen before, to connect without asking. */
  device?: unknown;
  /** ms that the two may take to meet; without it for ever. */
  timeoutMs?: number;
}

export interface Wait {
  /** Raises TimeoutError when it is over; nothing is lost. Without it for ever. */
  timeoutMs?: number;
}

export interface Link extends AsyncIterable<Value> {
  readonly name: string;
  readonly engine: "wasm";
  readonly connected: boolean;
  /** Bytes in the ring that the board has not acknowledged. */
  readonly pending: number;
  /** Of the message that was received last, 0 to 15. */
  readonly channel: number;
  /** Counters: docs/protocol.md, "Errors and counters". */
  readonly stats: Record<string, number>;
  /** Queue a message; waits while the ring is full. Raises LinkClosedError when the link is closed, TypeError
   * or RangeError for what is no message or never fits. */
  send(message: Value | ArrayBuffer | ArrayBufferView, options?: Wait & { channel?: number }): Promise<void>;
  /** false: there is no room now, and nothing was taken. */
  sendNowait(message: Value | ArrayBuffer | ArrayBufferView, options?: { channel?: number }): boolean;
  /** The next message. Raises LinkClosedError after the last. */
  recv(options?: Wait): Promise<Value>;
  /** A channel, 0 to 15, of which only the newest value counts. Its values do not come by recv() of the link
   * any more. The other side need not do the same. */
  newest(channel: number): Newest;
  /** Wait until the board has all that was sent before this call. */
  flush(options?: Wait): Promise<void>;
  /** All that was read is safe. */
  commit(): void;
  /** The next board that this side meets is the partner. */
  forget(): void;
  /** Send what is queued, tell the board, disconnect. The board's program sees the end of the link. */
  close(options?: Wait): Promise<void>;
  /** As close(), but the board's program goes on, and waits for the next link. */
  leave(options?: Wait): Promise<void>;
}

export interface Newest {
  readonly channel: number;
  /** Set the value: it replaces one that is not on its way yet, and overtakes what waits in the ring. The value
   * set last always arrives. Raises as send() of the link; RangeError above a quarter of txSize, less 4 bytes. */
  send(value: Value | ArrayBuffer | ArrayBufferView): void;
  /** The newest value that has come; undefined: none has. */
  latest(): Value | undefined;
  /** Wait for a value newer than what recv() gave last: the newest that has come. */
  recv(options?: Wait): Promise<Value>;
}

/** How packets travel. */
export interface Radio {
  connect(name: string | undefined, options: { identity: Uint8Array; device?: unknown }): unknown;
  advertise?(name: string, options: { identity: Uint8Array }): unknown;
}

/** A link to the board that advertises `name`, as soon as the two have met. With Web Bluetooth the browser asks
 * the person for the board, soon after a click only; without a name for any board of picolink's. */
export function connect(name?: string, options?: LinkOptions): Promise<Link>;
/** As connect(), for radios that can: Air of picolink-memory.js. */
export function advertise(name: string, options?: LinkOptions): Promise<Link>;

export class LinkClosedError extends Error {}
export class TimeoutError extends Error {}

export const bluetooth: Radio;

/** Objects as MessagePack, as they travel. Raise TypeError or RangeError. */
export function pack(value: Value): Uint8Array;
export function unpack(bytes: Uint8Array): Value;
