// Compiled code on disk: a line with whose code it is and its checksum, then the code as V8 made it.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";

/** Nothing where it is of other code, or not as it was written: V8 would run whatever it is given. */
export function readCompiled(file: string, identity: string): Buffer | undefined {
  try {
    const content = readFileSync(file);
    const end = content.indexOf("\n");
    const code = content.subarray(end + 1);
    return content.toString("latin1", 0, end) === `${identity} ${crc32(code)}` ? code : undefined;
  } catch {
    return undefined; // there is none yet
  }
}

export function writeCompiled(file: string, identity: string, code: Buffer): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(
      `${file}.new`,
      Buffer.concat([Buffer.from(`${identity} ${crc32(code)}\n`, "latin1"), code]),
    );
    renameSync(`${file}.new`, file);
  } catch {
    // The next start compiles once more.
  }
}
