import type { Radio } from "./picolink.js";

/** A radio in memory, for tests: links of one program hear each other. */
export class Air implements Radio {
  inRange: boolean;
  constructor(options?: { delayMs?: number; loss?: number; queue?: number; mtu?: number });
  connect(name: string, options: { identity: Uint8Array }): unknown;
  advertise(name: string, options: { identity: Uint8Array }): unknown;
  drop(): void;
}
