import assert from "node:assert/strict";
import * as vscode from "vscode";
import type { Connection } from "../../src/connection.ts";
import type { Contexts } from "../../src/contexts.ts";
import { until } from "../support/waiting.ts";

const CHANGES = 40;
const P95 = Math.ceil(CHANGES * 0.95) - 1;
/** Between two states that the server tells of one context there are at least so many, whatever the machine. */
const PACE_MS = 100;
/** What a person sees may come so many times as late as the answer to a small request, beside that pace. */
const MOST_OF_FLOOR = 5;

describe("what the status bar shows", () => {
  let connection: Connection;
  let contexts: Contexts;

  before(async () => {
    const extension = vscode.extensions.getExtension<{ connection: Connection; contexts: Contexts }>(
      "ullage.ullage",
    );
    ({ connection, contexts } = await (extension as NonNullable<typeof extension>).activate());
    await until("a status", () => contexts.status !== undefined);
  });

  it("is right as soon as the server may tell it (p95 of 40 changes)", async () => {
    const contextId = contexts.id as string;
    const floors: number[] = [];
    const delays: number[] = [];
    for (let number = 0; number < CHANGES; number++) {
      floors.push(await took(() => connection.request("context/messages", { contextId, limit: 1 })));
      const messages = [{ role: "user" as const, content: `change ${number}` }];
      const { usage } = await connection.request("context/append", { contextId, messages });
      delays.push(await took(() => shown(usage.tokens)));
    }
    const [floor, delay] = [p95(floors), p95(delays)];
    console.log(`shown after ${delay.toFixed(0)} ms, a small request takes ${floor.toFixed(0)} ms`);
    assert.ok(delay <= PACE_MS + MOST_OF_FLOOR * floor, `${delay} ms, and a request takes ${floor} ms`);
  });

  function shown(tokens: number): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (contexts.status?.usage.tokens !== tokens) return;
        listening.dispose();
        resolve();
      };
      const listening = contexts.onDidChange(look);
      look();
    });
  }
});

async function took(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

function p95(times: number[]): number {
  return times.sort((a, b) => a - b)[P95] ?? Number.POSITIVE_INFINITY;
}
