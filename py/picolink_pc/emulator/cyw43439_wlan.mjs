// The WLAN part of the CYW43439, as far as a host needs it that wants no Wi-Fi: each control packet is answered.
//
// Packets have a header ("SDPCM") of 12 bytes: size, its complement, sequence number, channel, length of the next
// packet, offset of the data, flow control, credit. Channel 0 carries control packets: command, length, flags with
// the request's number, status, and then the value. Commands 262 and 263 read and write a variable by its name.

const HEADER = 12;
const CONTROL_HEADER = 16;
const CONTROL = 0; // channels
const CREDIT = 8; // packets that the host may send before it hears more

const GET_VARIABLE = 262;
const SET_VARIABLE = 263;
const PLAIN_COMMANDS = new Set([2, 64, 78, 85, 86, 110]); // up, antenna, and power saving: accepted, without effect

// Accepted, without effect: what the driver sets up before Wi-Fi does anything.
const PLAIN_VARIABLES = new Set([
  'ampdu_ba_wsize',
  'ampdu_mpdu',
  'ampdu_rx_factor',
  'apsta',
  'assoc_listen',
  'bcn_li_bcn',
  'bcn_li_dtim',
  'bsscfg:event_msgs',
  'bus:txglom',
  'clmload',
  'clmload_status',
  'clmver',
  'country',
  'mcast_list',
  'mfp',
  'pm2_sleep_ret',
]);

const LED_PIN = 1; // of the chip's own pins, CYW43's WL_GPIO0
const text = new TextDecoder('latin1');

export class Wlan {
  #forHost = [];
  #sequence = 0;
  #pins = 0; // the chip's own, as bits

  /**
   * @param mac 6 bytes
   * @param led (on) called when the LED changes
   * @param changed () called when there is a packet for the host
   * @param problem (text) called for what the model does not know
   */
  constructor({ mac, led, changed, problem }) {
    this.mac = mac;
    this.led = led;
    this.changed = changed;
    this.problem = problem;
  }

  /** Length of the packet that the host would get, 0: none. */
  get nextLength() {
    return this.#forHost.length ? this.#forHost[0].length : 0;
  }

  /** The next packet for the host, or undefined. */
  take() {
    const packet = this.#forHost.shift();
    this.changed();
    return packet;
  }

  /** A packet from the host. */
  receive(packet) {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const size = packet.length < HEADER ? 0 : view.getUint16(0, true);
    if (size < HEADER || size > packet.length || (size ^ view.getUint16(2, true)) !== 0xffff) {
      this.problem(`a WLAN packet of ${packet.length} bytes with a damaged header`);
      return;
    }
    const channel = packet[5] & 0xf;
    const start = packet[7];
    if (channel !== CONTROL) {
      this.problem('Wi-Fi, which is not modelled: a packet for the air was dropped');
    } else if (start + CONTROL_HEADER > size) {
      this.problem(`a WLAN control packet of ${size} bytes`);
    } else {
      const command = view.getUint32(start, true);
      const flags = view.getUint32(start + 8, true);
      const value = packet.slice(start + CONTROL_HEADER, size);
      this.#answer(packet[4], command, flags, this.#execute(command, value));
    }
  }

  #execute(command, value) {
    if (command !== GET_VARIABLE && command !== SET_VARIABLE) {
      if (!PLAIN_COMMANDS.has(command)) {
        this.problem(`Wi-Fi, which is not modelled: WLAN command ${command} was accepted, and nothing follows`);
      }
      return value;
    }
    const end = value.indexOf(0);
    const name = text.decode(value.subarray(0, end < 0 ? value.length : end));
    const isGet = command === GET_VARIABLE;
    const result = isGet ? new Uint8Array(value.length) : value;
    if (name === 'cur_etheraddr') {
      if (isGet) {
        result.set(this.mac.slice(0, result.length));
      } else {
        this.mac = [...value.slice(end + 1, end + 7)];
      }
    } else if (name === 'gpioout' && !isGet && value.length >= end + 9) {
      const words = new DataView(value.buffer, value.byteOffset + end + 1);
      this.#setPins(words.getUint32(0, true), words.getUint32(4, true));
    } else if (name === 'ccgpioin' && isGet) {
      new DataView(result.buffer).setUint32(0, this.#pins, true);
    } else if (!PLAIN_VARIABLES.has(name)) {
      this.problem(`Wi-Fi, which is not modelled: WLAN variable '${name}' was accepted, and nothing follows`);
    }
    return result;
  }

  #setPins(mask, value) {
    const before = this.#pins;
    this.#pins = (before & ~mask) | (value & mask);
    if ((before ^ this.#pins) & LED_PIN) {
      this.led((this.#pins & LED_PIN) !== 0);
    }
  }

  #answer(sequence, command, flags, value) {
    const size = HEADER + CONTROL_HEADER + value.length;
    const packet = new Uint8Array((size + 3) & ~3);
    const view = new DataView(packet.buffer);
    view.setUint16(0, size, true);
    view.setUint16(2, ~size, true);
    packet[4] = this.#sequence++;
    packet[5] = CONTROL;
    packet[7] = HEADER;
    packet[9] = sequence + CREDIT;
    view.setUint32(HEADER, command, true);
    view.setUint32(HEADER + 4, value.length, true);
    view.setUint32(HEADER + 8, flags, true);
    packet.set(value, HEADER + CONTROL_HEADER);
    this.#forHost.push(packet);
    this.changed();
  }
}
