// Files with another process: sends back each file that comes, until one is called "last"; then fetches "given" and
// sends that back; prints "= " and what it has seen.
import { fetchFile, receiveFiles, sendFile } from "../../build/out/web/picolink-files.js";
import { newLink } from "../../build/out/web/picolink.js";
import { Pipe } from "./role.mjs";

const link = await newLink(new Pipe(), { onEvent: (...told) => console.error(...told) });
await link.open();
const seen = [];
for await (const { name, bytes } of receiveFiles(link)) {
  seen.push([name, bytes.length]);
  await sendFile(link, bytes, `back/${name}`);
  if (name === "last") break;
}
for (const name of ["missing", "given"]) {
  const bytes = await fetchFile(link, name).catch((error) => new TextEncoder().encode(String(error)));
  await sendFile(link, bytes, `back/${name}`);
}
console.log(`= ${JSON.stringify(seen)}`);
await link.close();
process.exit();
