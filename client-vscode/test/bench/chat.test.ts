/**
 * How long VS Code's chat waits for the server and its small model: `node --test test/bench/chat.test.ts`. Times are
 * printed; what is asserted is a ratio to a floor measured on the same machine.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { complete, type Question } from "../../src/chat/completion.ts";
import { chatOptions, newMessages } from "../../src/chat/messages.ts";
import { TokenCounts } from "../../src/chat/tokenCounts.ts";
import type { ChatResult } from "../../src/protocol.ts";
import { StdioServer } from "../support/stdio_server.ts";

const QUESTIONS = 5000;
const LIMIT_MS = 500;
/** Batches instead of one request may cost so many times as much as a single request for everything. */
const MOST_OF_FLOOR = 10;
const FASTER = 10;

let server: StdioServer;
let model: string;

before(async () => {
  server = await StdioServer.start({
    providers: { default: "embedded", embedded: { contextSize: 8192, threads: 1 } },
  });
  const [first] = (await server.request("context/models", {})).models;
  assert.ok(first, "The small model is not installed: .venv/bin/ullage install-model");
  model = first.name;
  await server.request("context/countTokens", { model, texts: ["a first count builds the vocabulary"] });
});

after(() => server.stop());

/** As an agent's turn asks: mostly single words, lines now and then, a few long texts. */
function asked(round: number): string[] {
  return Array.from({ length: QUESTIONS }, (_, index) => {
    if (index % 500 === 0) return `${round} a page of instructions ${index} `.repeat(200);
    if (index % 20 === 0) return `${round} a line that describes parameter ${index} of a tool`;
    return `word${round}x${index % 2500}`;
  });
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

test("5,000 overlapping questions for token counts are answered at once", async (context) => {
  const count = async (of: string, texts: string[]) =>
    (await server.request("context/countTokens", { model: of, texts })).counts;
  const floors: number[] = [];
  const times: number[] = [];
  for (const round of [0, 1, 2]) {
    floors.push(await took(() => count(model, asked(round))));
    const counts = new TokenCounts(count);
    const texts = asked(round + 10);
    const chains = Array.from({ length: 50 }, async (_, chain) => {
      for (let index = chain; index < texts.length; index += 50)
        await counts.count(model, texts[index] ?? "");
    });
    times.push(await took(() => Promise.all(chains)));
  }
  const [floor, time] = [Math.min(...floors), Math.min(...times)];
  context.diagnostic(
    `${QUESTIONS} questions: ${time.toFixed(0)} ms (limit ${LIMIT_MS}); one request: ${floor.toFixed(0)} ms`,
  );
  assert.ok(time < MOST_OF_FLOOR * floor, `${time} ms, and one request for all takes ${floor} ms`);
});

test("an agent's second turn begins at least ten times as soon as its first", async (context) => {
  const rules = "Look before you answer, and name the file and the line of what you say. ".repeat(80);
  const messages = [
    { role: 3, content: [{ value: rules }] },
    { role: 1, content: [{ value: "What does the file README.md say?" }] },
  ];
  const first = await turn(messages);
  messages.push({ role: 2, content: [{ value: first.message.content }] });
  messages.push({ role: 1, content: [{ value: "And what else?" }] });
  const second = await turn(messages);
  const [slow, fast] = [first, second].map(({ timing }) => timing.firstTokenMs ?? 0);
  context.diagnostic(`first token after ${slow?.toFixed(0)} ms, then after ${fast?.toFixed(0)} ms`);
  assert.ok((slow ?? 0) > FASTER * (fast ?? 0), `${slow} ms, then ${fast} ms`);
});

async function turn(messages: Parameters<typeof newMessages>[0]): Promise<ChatResult> {
  const options = { ...chatOptions([], false, { temperature: 0 }), maxTokens: 12 };
  const question: Question = { model, messages: newMessages(messages), options, conversation: "bench" };
  let result: ChatResult | undefined;
  await complete(
    async (params, onPiece) => {
      result = await server.stream("context/complete", params, onPiece);
      return result;
    },
    question,
    new Set(),
    { text: () => {}, call: () => {}, usage: () => {} },
  );
  assert.ok(result);
  return result;
}
