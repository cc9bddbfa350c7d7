// The role of a link whose other side is in another process: packets pass as lines of hex on standard input and output.
import { createInterface } from "node:readline";

const ticks = () => Math.floor(performance.now()) & 0x3fffffff;

export class Pipe {
  name = "Pipe";
  identity = new TextEncoder().encode("in  node");
  alive = false;

  serve(policy) {
    this.policy = policy;
    policy.transmit = (packet) => process.stdout.write(`${Buffer.from(packet).toString("hex")}\n`) || true;
    createInterface({ input: process.stdin }).on("line", (line) => policy.feed(Buffer.from(line, "hex"), ticks()));
  }
  async claim() {}
  release() {
    return true;
  }
  async establish() {
    this.policy.adopt(ticks(), "pipe", "pipe");
    this.alive = true;
    this.policy.call(247);
  }
  async hangUp() {
    this.alive = false;
    return true;
  }
}
