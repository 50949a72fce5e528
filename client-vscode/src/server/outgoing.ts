// What the server is asked, as it can be sent: what it can't read it answers without saying which request it means, and
// that one would wait for ever.
import { Failure } from "../failures.ts";

/** Of a message's body, the bytes that the server takes at most. */
export const LARGEST_BODY = 64 * 2 ** 20;
/** More than what stands around the params. */
const ENVELOPE = 1024;

/** The params, all text in them well-formed. Throws a `Failure` where they are too large for one message. */
export function sendable<T>(params: T): T {
  const sent = wellFormed(params);
  if (Buffer.byteLength(JSON.stringify(sent)) > LARGEST_BODY - ENVELOPE) throw tooLarge();
  return sent;
}

export function tooLarge(): Failure {
  return new Failure(
    "invalidParams",
    "This is larger than 64 MB, more than the server takes at a time. Split it and give it the parts one after the other.",
  );
}

/** UTF-8 has nothing for one half of a surrogate pair. What holds none stays the same object. */
function wellFormed<T>(value: T): T;
function wellFormed(value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (Array.isArray(value)) {
    const items = value.map((item) => wellFormed(item));
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  const sent = wellFormed(entries);
  return sent === entries ? value : Object.fromEntries(sent);
}
