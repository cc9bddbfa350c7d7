// What goes over the air: py/picolink/wire.py.
export const SERVICE = "7a9c0000-5f2d-4b8e-9c3a-1d6e8f402b51";
export const NOTIFY = "7a9c0001-5f2d-4b8e-9c3a-1d6e8f402b51"; // packets from the board
export const WRITE = "7a9c0002-5f2d-4b8e-9c3a-1d6e8f402b51"; // packets to the board
export const MTU = 247; // what picolink's sides ask for; a page never learns it: the board's word counts
const NAME = 28;

/** `name`, if it can be advertised: 1 to 28 bytes of UTF-8. */
export function checkedName(name) {
  if (typeof name !== "string") throw new TypeError(`a name is a string, not ${name}`);
  const size = new TextEncoder().encode(name).length;
  if (size < 1 || size > NAME) throw new RangeError(`a name has 1 to ${NAME} bytes of UTF-8, not ${size}: '${name}'`);
  return name;
}
