// A link whose other side is in another process:  node pipe.mjs COUNT [KEY]
// It sends COUNT messages while it takes as many, checks them, closes when the other side has, and prints "= " and its
// counters.
import { newLink } from "../../build/out/web/picolink.js";
import { Pipe } from "./role.mjs";

const [count, key] = [Number(process.argv[2]), process.argv[3]];
const link = await newLink(new Pipe(), { key, onEvent: (...told) => console.error(...told) });
await link.open();
const sending = (async () => {
  for (let i = 0; i < count; i++) await link.send(`from node ${i}`, { channel: i % 16 });
  await link.flush();
})();
let next = 0;
for await (const message of link) {
  const text = message instanceof Uint8Array ? new TextDecoder().decode(message) : message;
  if (text !== `from python ${next}` || link.channel !== next % 16) throw new Error(`${text} is not number ${next}`);
  next += 1;
}
await sending;
await link.close();
console.log(`= ${JSON.stringify({ received: next, ...link.stats })}`);
process.exit();
