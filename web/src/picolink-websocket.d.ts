import type { Radio } from "./picolink.js";

/** The radio of `picolink web`, at an address such as "ws://localhost:8000/radio". */
export class WebSocketRadio implements Radio {
  constructor(url: string);
  connect(name: string, options: { identity: Uint8Array }): unknown;
}
