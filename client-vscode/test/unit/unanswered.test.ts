import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../../src/failures.ts";
import { Unanswered } from "../../src/server/unanswered.ts";

test("what was never answered counts as lost with the server", async () => {
  const unanswered = new Unanswered();
  const asked = unanswered.until(new Promise(() => undefined));
  unanswered.giveUp();
  const error = await asked.catch((reason) => reason);
  assert.equal(Failure.of(error).kind, "serverLost");
});

test("an answer that has come stays what it is", async () => {
  const unanswered = new Unanswered();
  const answered = unanswered.until(Promise.resolve("yes"));
  const refused = unanswered.until(Promise.reject(new Error("no")));
  await assert.rejects(refused, { message: "no" });
  unanswered.giveUp();
  assert.equal(await answered, "yes");
});
