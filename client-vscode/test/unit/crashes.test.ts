import assert from "node:assert/strict";
import { test } from "node:test";
import { Crashes } from "../../src/server/crashes.ts";

const MINUTE = 60_000;

test("the fifth crash in three minutes is one too many", () => {
  const crashes = new Crashes();
  const verdicts = [0, 1, 2, 2.5, 2.9].map((minute) => crashes.add(minute * MINUTE));
  assert.deepEqual(verdicts, [false, false, false, false, true]);
});

test("crashes of longer ago don't count", () => {
  const crashes = new Crashes();
  const verdicts = [0, 1, 2, 3, 4, 5, 6].map((minute) => crashes.add(minute * MINUTE));
  assert.ok(!verdicts.includes(true));
});

test("a person's restart begins anew", () => {
  const crashes = new Crashes();
  for (let time = 0; time < 4; time++) crashes.add(time);
  crashes.forget();
  assert.equal(crashes.add(5), false);
});
