import assert from "node:assert/strict";
import * as vscode from "vscode";
import type { Connection } from "../../src/connection.ts";
import type { Contexts } from "../../src/contexts.ts";
import { until } from "../support/waiting.ts";

const CHANGES = 40;
const P95 = Math.ceil(CHANGES * 0.95) - 1;
const LIMIT_MS = 150;

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

  it(`is right within ${LIMIT_MS} ms of a change (p95)`, async () => {
    const contextId = contexts.id as string;
    const delays: number[] = [];
    for (let number = 0; number < CHANGES; number++) {
      const messages = [{ role: "user" as const, content: `change ${number}` }];
      const { usage } = await connection.request("context/append", { contextId, messages });
      const changed = performance.now();
      await shown(usage.tokens);
      delays.push(performance.now() - changed);
    }
    const p95 = delays.sort((a, b) => a - b)[P95] ?? Number.POSITIVE_INFINITY;
    assert.ok(p95 <= LIMIT_MS, `${p95.toFixed(0)} ms`);
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
