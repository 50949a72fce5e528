import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../../src/failures.ts";
import { LARGEST_BODY, sendable } from "../../src/server/outgoing.ts";

const HALF = "\ud83d";

test("half of a surrogate pair is replaced wherever it stands, and all else stays", () => {
  const params = { texts: [`a${HALF}`, "🛢"], options: { [HALF]: { deep: HALF } }, limit: 5, model: null };
  assert.deepEqual(sendable(params), {
    texts: ["a\ufffd", "🛢"],
    options: { "\ufffd": { deep: "\ufffd" } },
    limit: 5,
    model: null,
  });
});

test("what is well-formed is sent as it is, and not copied", () => {
  const params = { messages: [{ role: "user", content: "🛢 is full" }], fit: true };
  assert.equal(sendable(params), params);
});

test("what is too large as it is sent is refused in words, though it has fewer characters", () => {
  const tooLarge = (text: string) => {
    try {
      sendable({ text });
    } catch (error) {
      return error instanceof Failure && /Split it/.test(error.message);
    }
    return false;
  };
  assert.equal(tooLarge("\n".repeat(LARGEST_BODY / 2)), true);
  assert.equal(tooLarge("é".repeat(LARGEST_BODY / 2)), true);
  assert.equal(tooLarge("a".repeat(LARGEST_BODY / 2)), false);
});
