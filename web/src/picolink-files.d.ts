import type { Link } from "./picolink.js";

/** A file that has come whole. */
export interface ReceivedFile {
  /** As the other side calls it, with "/" between folders: 1 to 100 characters. */
  name: string;
  bytes: Uint8Array;
}

export interface ReceiveOptions {
  /** Gets the name, says whether such a file may come. */
  allow?: (name: string) => boolean;
  /** Bytes of a file at most: it is in memory. 16 MiB by default. */
  maxSize?: number;
  /** Called as the file comes. */
  progress?: (name: string, done: number, size: number) => void;
}

/** Send a file to a program that calls receive_files() or receiveFiles(). Returns when the other side has all of it,
 * checked and in its place. Raises FileError, LinkClosedError; TimeoutError: nothing has come within timeoutMs.
 * name: below the other side's folder; without it that of `data`, a File.   progress: called as it goes out. */
export function sendFile(
  link: Link,
  data: Blob | ArrayBuffer | ArrayBufferView,
  name?: string,
  options?: { progress?: (done: number, size: number) => void; timeoutMs?: number },
): Promise<void>;

/** The files that the other side sends, until the link is closed. One loop for each link. Messages on channel 15 are
 * those of files from the first call on. */
export function receiveFiles(link: Link, options?: ReceiveOptions): AsyncGenerator<ReceivedFile, void, void>;

/** The bytes of a file that the other side lets others fetch: receive_files(..., give=True). Raises as sendFile(). */
export function fetchFile(
  link: Link,
  name: string,
  options?: {
    maxSize?: number;
    progress?: (name: string, done: number, size: number) => void;
    timeoutMs?: number;
  },
): Promise<Uint8Array>;

/** A file cannot be sent or received: the text says why. */
export class FileError extends Error {}
