// Uses every call of picolink.d.ts and its modules as they are meant, and some as they are not: checked by tsc.
import {
  LinkClosedError,
  TimeoutError,
  advertise,
  bluetooth,
  connect,
  pack,
  unpack,
  type Link,
  type LinkOptions,
  type Newest,
  type Radio,
  type Value,
  type Wait,
} from "picolink";
import { FileError, fetchFile, receiveFiles, sendFile, type ReceiveOptions, type ReceivedFile } from "picolink/files";
import { Air } from "picolink/memory";
import { WebSocketRadio } from "picolink/websocket";

const air = new Air({ delayMs: 1, loss: 0.1, queue: 8, mtu: 247 });
air.drop();
air.inRange = false;
const web: Radio = new WebSocketRadio("ws://localhost:8000/radio");
const options: LinkOptions = {
  key: new Uint8Array(16),
  txSize: 8192,
  rxSize: 8192,
  commit: true,
  remember: true,
  onEvent: (event: string, detail: string) => console.log(event, detail),
  radio: air,
  identity: new Uint8Array(8),
  device: undefined,
  timeoutMs: 1000,
};

export async function links(): Promise<void> {
  const board: Link = await advertise("PicoA", options);
  const link = await connect();
  await connect("PicoA");
  await connect("PicoA", { radio: bluetooth });
  await connect(undefined, { radio: web });
  const wait: Wait = { timeoutMs: 1000 };
  await link.send("text");
  await link.send(new Uint8Array(3), { channel: 1, timeoutMs: 100 });
  await link.send({ led: true, list: [1, 2n, null, new Uint8Array(1)] });
  const taken: boolean = link.sendNowait(new ArrayBuffer(3), { channel: 2 });
  const message: Value = await link.recv(wait);
  for await (const each of link) console.log(each satisfies Value, link.channel.toFixed(), taken, message);
  const stick: Newest = link.newest(1);
  stick.send({ x: 1, y: 2 });
  const latest: Value | undefined = stick.latest();
  console.log(latest, await stick.recv(wait), stick.channel);
  await link.flush(wait);
  link.commit();
  link.forget();
  const counted: number | undefined = link.stats["messages_sent"];
  console.log(link.name, link.engine, link.connected, link.pending, counted, unpack(pack({ led: true })));
  await link.leave();
  await board.close(wait);
}

export async function files(link: Link): Promise<void> {
  await sendFile(link, new File(["text"], "log.csv"));
  await sendFile(link, new Uint8Array(3), "log.csv", { progress: (done: number, size: number) => console.log(done, size), timeoutMs: 1 });
  const how: ReceiveOptions = { allow: (name) => name.endsWith(".csv"), maxSize: 1000, progress: (name, done, size) => console.log(name, done, size) };
  for await (const file of receiveFiles(link, how)) {
    const { name, bytes }: ReceivedFile = file;
    console.log(name, bytes.length);
  }
  const log: Uint8Array = await fetchFile(link, "log.csv", { timeoutMs: 1000, maxSize: 1000 });
  console.log(log);
}

export const known = (error: unknown): boolean =>
  error instanceof LinkClosedError || error instanceof TimeoutError || error instanceof FileError;

export async function mistakes(link: Link): Promise<void> {
  // @ts-expect-error: a function is no message
  await link.send(() => {});
  // @ts-expect-error: a channel is a number
  await link.send("text", { channel: "1" });
  // @ts-expect-error: milliseconds have their unit in the name
  await link.recv({ timeout: 5 });
  // @ts-expect-error: it is for reading
  link.channel = 5;
  // @ts-expect-error: a key is text or bytes
  await connect("PicoA", { key: 5 });
  // @ts-expect-error: bytes have no name
  await sendFile(link, "text", "name");
  // @ts-expect-error: undefined is no value
  link.newest(1).send(undefined);
}
