/**
 * A reporter of node's test runner that says one thing: how many tests passed, and how many did not, those of other
 * editors included, which pytest has written to the file that ULLAGE_OTHER_EDITORS names.
 */

import { existsSync, readFileSync } from "node:fs";
import type { TestEvent } from "node:test/reporters";

interface Sum {
  passed: number;
  failed: number;
  skipped: number;
}

export default async function* closingLine(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const sum = others(process.env.ULLAGE_OTHER_EDITORS);
  for await (const { type, data } of events) {
    if (type !== "test:summary" || data.file !== undefined) continue;
    const { tests, passed, skipped, todo } = data.counts;
    sum.passed += passed;
    sum.skipped += skipped;
    sum.failed += tests - passed - skipped - todo;
  }
  yield `${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`;
}

function others(file: string | undefined): Sum {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  if (file === undefined || !existsSync(file)) return sum;
  const head = /<testsuite .*?>/.exec(readFileSync(file, "utf8"))?.[0] ?? "";
  const number = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  sum.failed = number("failures") + number("errors");
  sum.skipped = number("skipped");
  sum.passed = number("tests") - sum.failed - sum.skipped;
  return sum;
}
