import assert from "node:assert/strict";
import { test } from "node:test";
import { ProblemError } from "../../src/failures.ts";
import { findMaker, type Interpreter, type Lookups } from "../../src/server/python.ts";

const PYTHON: Interpreter = { path: "/usr/bin/python3", version: [3, 12], hasVenv: true };

/** A machine with these interpreters, by the command's words. */
function machine(there: Record<string, Partial<Interpreter>>, more: Partial<Lookups> = {}) {
  const asked: string[] = [];
  const lookups: Lookups = {
    setting: "",
    platform: "linux",
    uv: async () => undefined,
    fromExtensions: async () => [],
    probe: async ({ file, args }) => {
      const words = [file, ...args].join(" ");
      asked.push(words);
      return there[words] && { ...PYTHON, path: file, ...there[words] };
    },
    ...more,
  };
  return { lookups, asked };
}

async function problem(lookups: Lookups) {
  const error = await findMaker(lookups).then(
    () => assert.fail("found one"),
    (reason) => reason,
  );
  assert.ok(error instanceof ProblemError);
  assert.ok(error.problem.remedies.length > 0, "there is a next step");
  return error.problem.message;
}

test("the person's own choice comes before all others, and nothing else is asked", async () => {
  const { lookups, asked } = machine(
    { "/opt/py": {}, python3: {} },
    { setting: "/opt/py", uv: async () => "/bin/uv", fromExtensions: async () => ["/env/python"] },
  );
  assert.equal((await findMaker(lookups)).interpreter?.path, "/opt/py");
  assert.deepEqual(asked, ["/opt/py"]);
});

test("a choice that is no Python is named, and nothing takes its place", async () => {
  const { lookups } = machine({ python3: {} }, { setting: "/gone" });
  assert.match(await problem(lookups), /ullage\.extension\.python names \/gone/);
});

test("a choice that is too old is named, and nothing takes its place", async () => {
  const { lookups } = machine({ "/old": { version: [3, 8] }, python3: {} }, { setting: "/old" });
  assert.match(await problem(lookups), /\/old is 3\.8/);
});

test("the Python extensions' interpreter comes before uv, and uv before the PATH", async () => {
  const uv = async () => "/bin/uv";
  const active = machine(
    { "/env/python": {}, python3: {} },
    { uv, fromExtensions: async () => ["/env/python"] },
  );
  assert.deepEqual(await findMaker(active.lookups), {
    interpreter: { ...PYTHON, path: "/env/python" },
    uv: "/bin/uv",
  });
  const without = machine({ python3: {} }, { uv });
  assert.deepEqual(await findMaker(without.lookups), { uv: "/bin/uv" });
  assert.deepEqual(without.asked, []);
});

test("an extension's interpreter that is too old is passed over", async () => {
  const { lookups } = machine(
    { "/env/python": { version: [3, 9] }, python3: {} },
    { fromExtensions: async () => ["/env/python"] },
  );
  assert.equal((await findMaker(lookups)).interpreter?.path, "python3");
});

test("a newer Python beside a python3 that is too old is found", async () => {
  const { lookups } = machine({ python3: { version: [3, 10] }, "python3.12": {} });
  assert.equal((await findMaker(lookups)).interpreter?.path, "python3.12");
});

test("on Windows the launcher is asked first", async () => {
  const { lookups, asked } = machine({ "py -3": {} }, { platform: "win32" });
  assert.ok((await findMaker(lookups)).interpreter);
  assert.deepEqual(asked, ["py -3"]);
});

test("on macOS the python3 that may open a window is asked after those that were installed", async () => {
  const { lookups, asked } = machine(
    { "/opt/homebrew/bin/python3": {}, python3: {} },
    { platform: "darwin" },
  );
  await findMaker(lookups);
  assert.deepEqual(asked, ["/opt/homebrew/bin/python3"]);
});

test("without any Python the person is told what to install", async () => {
  assert.match(await problem(machine({}).lookups), /needs Python 3\.11 or newer, and there is none/);
});

test("a Python that is too old is named with its version", async () => {
  const { lookups } = machine({ python3: { version: [3, 9] } });
  assert.match(await problem(lookups), /python3 is 3\.9/);
});

test("a missing venv module is named with the package that brings it", async () => {
  const { lookups } = machine({ python3: { hasVenv: false, version: [3, 11] }, python: { version: [2, 7] } });
  assert.match(await problem(lookups), /apt install python3\.11-venv/);
});

test("uv makes the environment of a Python that lacks the venv module", async () => {
  const { lookups } = machine(
    { "/opt/py": { hasVenv: false } },
    { setting: "/opt/py", uv: async () => "/bin/uv" },
  );
  assert.equal((await findMaker(lookups)).uv, "/bin/uv");
});
