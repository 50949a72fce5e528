import assert from "node:assert/strict";
import { test } from "node:test";
import { TokenCounts } from "../../src/chat/tokenCounts.ts";

/** Counts a token for each character, and remembers what it was asked. */
function counter() {
  const asked: string[][] = [];
  const ask = async (_: string, texts: string[]) => {
    asked.push(texts);
    return texts.map((each) => each.length);
  };
  return { asked, ask };
}

test("what is asked in one turn of the event loop is one request", async () => {
  const { asked, ask } = counter();
  const counts = new TokenCounts(ask);
  assert.deepEqual(await Promise.all(["a", "bb", "ccc"].map((each) => counts.count("m", each))), [1, 2, 3]);
  assert.deepEqual(asked, [["a", "bb", "ccc"]]);
});

test("what follows from promises in the same turn is in that request, too", async () => {
  const { asked, ask } = counter();
  const counts = new TokenCounts(ask);
  const first = counts.count("m", "a");
  for (let step = 0; step < 10; step++) await Promise.resolve();
  await Promise.all([first, counts.count("m", "b")]);
  assert.deepEqual(asked, [["a", "b"]]);
});

test("the same text is asked for once, however many wait for it", async () => {
  const { asked, ask } = counter();
  const counts = new TokenCounts(ask);
  assert.deepEqual(await Promise.all([counts.count("m", "aa"), counts.count("m", "aa")]), [2, 2]);
  assert.deepEqual(asked, [["aa"]]);
});

test("what was counted is not asked for again", async () => {
  const { asked, ask } = counter();
  const counts = new TokenCounts(ask);
  for (const each of ["short", "short", "long ".repeat(50), "long ".repeat(50)])
    await counts.count("m", each);
  assert.equal(asked.length, 2);
});

test("models are counted apart", async () => {
  const { asked, ask } = counter();
  const counts = new TokenCounts(ask);
  await Promise.all([counts.count("one", "a"), counts.count("two", "a")]);
  assert.deepEqual(asked, [["a"], ["a"]]);
});

test("what is asked during a request is the next request", async () => {
  const asked: string[][] = [];
  let release = () => {};
  const counts = new TokenCounts(async (_, texts) => {
    asked.push(texts);
    if (asked.length === 1) await new Promise<void>((resolve) => (release = resolve));
    return texts.map(() => 1);
  });
  const first = counts.count("m", "a");
  await new Promise(setImmediate);
  const others = [counts.count("m", "b"), counts.count("m", "c")];
  await new Promise(setImmediate);
  assert.deepEqual(asked, [["a"]]);
  release();
  await Promise.all([first, ...others]);
  assert.deepEqual(asked, [["a"], ["b", "c"]]);
});

test("where nobody answers it is an estimate, and asked for anew", async () => {
  let asked = 0;
  const counts = new TokenCounts(async () => {
    asked++;
    throw new Error("away");
  });
  assert.equal(await counts.count("m", "12345"), 2);
  assert.equal(await counts.count("m", "12345"), 2);
  assert.equal(asked, 2);
});

test("texts that an answer leaves out are estimated", async () => {
  const counts = new TokenCounts(async () => [7]);
  assert.deepEqual(await Promise.all(["1234", "12345678"].map((each) => counts.count("m", each))), [7, 2]);
});

test("only so many counts are kept, the latest used ones", async () => {
  const { asked, ask } = counter();
  const counts = new TokenCounts(ask, 2);
  for (const each of ["a", "b", "a", "c", "a", "b"]) await counts.count("m", each);
  assert.deepEqual(asked, [["a"], ["b"], ["c"], ["b"]]);
});

test("when models are counted otherwise, all is asked anew", async () => {
  const { asked, ask } = counter();
  const counts = new TokenCounts(ask);
  await counts.count("m", "a");
  counts.forget();
  await counts.count("m", "a");
  assert.equal(asked.length, 2);
});

test("what was asked before models are counted otherwise is answered, and asked anew", async () => {
  let asked = 0;
  const counts = new TokenCounts(async () => {
    if (++asked === 1) counts.forget();
    return [asked];
  });
  assert.equal(await counts.count("m", "a"), 1);
  assert.equal(await counts.count("m", "a"), 2);
});
