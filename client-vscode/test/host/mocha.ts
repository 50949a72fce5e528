/**
 * Runs mocha inside VS Code's extension host. `tests` is put here by the bundler: it loads every file of tests. What
 * becomes of each test is also told as a line of its own, for the runner outside.
 */

import { format } from "node:util";
import Mocha from "mocha";
import { RESULT, type Result, SAID } from "./result.ts";

declare const loadTests: () => void;

export async function run(): Promise<void> {
  const mocha = new Mocha({ ui: "bdd", timeout: 60_000, color: false });
  Mocha.reporters.Base.consoleLog = (...words) => console.log(SAID + format(...words));
  mocha.suite.emit("pre-require", globalThis, "", mocha);
  loadTests();
  const failures = await new Promise<number>((resolve) => {
    mocha.run(resolve).on("test end", tell).on("fail", tellHook);
  });
  if (failures > 0) throw new Error(`${failures} failed`);
}

function tell(test: Mocha.Test): void {
  const state = test.isPending() ? "skipped" : test.state === "passed" ? "passed" : "failed";
  print({ title: test.fullTitle(), state, error: test.err?.stack ?? test.err?.message ?? null });
}

/** A test that fails is told at its end; a hook that fails has none. */
function tellHook(failed: Mocha.Test | Mocha.Hook, error: Error): void {
  if (failed.type === "hook")
    print({ title: failed.fullTitle(), state: "failed", error: error.stack ?? error.message });
}

function print(result: Result): void {
  console.log(RESULT + JSON.stringify(result));
}
