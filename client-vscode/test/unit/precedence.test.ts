import assert from "node:assert/strict";
import { test } from "node:test";
import { Precedence } from "../../src/chat/precedence.ts";

/** Work that ends when it is told to. */
function held() {
  const ends: ((value: string) => void)[] = [];
  const work = () => new Promise<string>((resolve) => ends.push(resolve));
  return { work, end: (value: string) => ends.shift()?.(value), begun: () => ends.length };
}

const turn = () => new Promise(setImmediate);

test("a chore is done at once where nobody asks", async () => {
  assert.equal(await new Precedence().chore(async () => "title"), "title");
});

test("a chore waits for the end of a question", async () => {
  const precedence = new Precedence();
  const question = held();
  const asked = precedence.question(question.work);
  let isDone = false;
  const chore = precedence.chore(async () => {
    isDone = true;
  });
  await turn();
  assert.equal(isDone, false);
  question.end("answer");
  await Promise.all([asked, chore]);
  assert.equal(isDone, true);
});

test("a chore waits for the last of several questions", async () => {
  const precedence = new Precedence();
  const question = held();
  const asked = [precedence.question(question.work), precedence.question(question.work)];
  let isDone = false;
  const chore = precedence.chore(async () => {
    isDone = true;
  });
  question.end("one");
  await turn();
  assert.equal(isDone, false);
  question.end("two");
  await Promise.all([...asked, chore]);
});

test("a chore that runs is broken off by a question, and done anew behind it", async () => {
  const precedence = new Precedence();
  let tries = 0;
  const chore = precedence.chore(async (signal) => {
    tries++;
    if (tries === 1) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return `try ${tries}`;
  });
  await turn();
  assert.equal(await precedence.question(async () => "answer"), "answer");
  assert.equal(await chore, "try 2");
});

test("a chore that fails for being broken off is done anew", async () => {
  const precedence = new Precedence();
  let tries = 0;
  const chore = precedence.chore(async (signal) => {
    if (++tries > 1) return "done";
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    throw new Error("cancelled");
  });
  await turn();
  await precedence.question(async () => "answer");
  assert.equal(await chore, "done");
});

test("a chore's own failure is told", async () => {
  const failing = new Precedence().chore(async () => {
    throw new Error("away");
  });
  await assert.rejects(failing, /away/);
});

test("a question that fails lets chores go on", async () => {
  const precedence = new Precedence();
  const question = precedence.question(async () => {
    throw new Error("away");
  });
  await assert.rejects(question, /away/);
  assert.equal(await precedence.chore(async () => "title"), "title");
});
