import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";

const ROOT = new URL("../../", import.meta.url);
const { contributes } = JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8"));

interface Command {
  command: string;
  title: string;
  category: string;
}
interface Item {
  command: string;
  when?: string;
}
interface Step {
  description: string;
  media: { markdown: string };
  completionEvents: string[];
}

const COMMANDS: Command[] = contributes.commands;
const NAMES = new Set(COMMANDS.map(({ command }) => command));
const MENUS = Object.entries(contributes.menus) as [string, Item[]][];
const STEPS: Step[] = contributes.walkthroughs[0].steps;

test("commands are the extension's own, never those that the language client registers of the server", () => {
  for (const { command, category } of COMMANDS) {
    assert.match(command, /^ullage\.[a-z][A-Za-z]*$/);
    assert.ok(!command.startsWith("ullage.server."), command);
    assert.equal(category, "Ullage");
  }
  assert.equal(NAMES.size, COMMANDS.length);
});

test("no two commands have the same title", () => {
  const titles = COMMANDS.map(({ title }) => title);
  assert.equal(new Set(titles).size, titles.length);
});

test("menus show declared commands only", () => {
  for (const [menu, items] of MENUS)
    for (const { command } of items) assert.ok(NAMES.has(command), `${menu}: ${command}`);
});

test("whatever needs a context is offered only where there is one", () => {
  const always = ["openSettings", "showLog", "showWalkthrough"].map((name) => `ullage.${name}`);
  const guarded = new Set(contributes.menus.commandPalette.map(({ command }: Item) => command));
  for (const name of NAMES) assert.ok(guarded.has(name) || always.includes(name), name);
});

test("every context key of a menu is one that is set", () => {
  const source = readFileSync(new URL("src/contextKeys.ts", ROOT), "utf8");
  const known = new Set([...source.matchAll(/#set\(\s*"(\w+)"/g)].map(([, name]) => name));
  for (const [, items] of MENUS) {
    for (const { when } of items) {
      for (const [, key] of when?.matchAll(/(?<!== )\bullage\.(\w+)/g) ?? [])
        assert.ok(known.has(key), `${key} in ${when}`);
    }
  }
});

test("a context that can't be opened leaves the way to another one, and to what is wrong", () => {
  for (const name of ["switchContext", "showProblem"]) {
    const item = contributes.menus.commandPalette.find(({ command }: Item) => command === `ullage.${name}`);
    assert.doesNotMatch(item.when, /(?<!!)ullage\.hasContext/);
    assert.match(item.when, /ullage\.running && workspaceFolderCount != 0/);
  }
});

test("a row's menu offers what its context can do", () => {
  const rows = (name: string) => {
    const items: Item[] = contributes.menus["view/item/context"];
    const { when } = items.find(({ command }) => command === `ullage.${name}`) as Item;
    const pattern = new RegExp(/viewItem =~ \/(.*)\//.exec(when ?? "")?.[1] ?? "none");
    return ["context", "context.current", "context.empty", "context.current.empty", "snapshot"].filter(
      (row) => pattern.test(row),
    );
  };
  for (const name of ["snapshot", "compress", "clear", "pinMessages"])
    assert.deepEqual(rows(name), ["context", "context.current"], name);
  assert.deepEqual(rows("switchContext"), ["context", "context.empty"]);
  assert.deepEqual(rows("undo"), ["context", "context.current", "context.empty", "context.current.empty"]);
});

test("each step of the walkthrough has its page, and its buttons are commands", () => {
  assert.equal(STEPS.length, 4);
  for (const { description, media } of STEPS) {
    assert.ok(existsSync(new URL(media.markdown, ROOT)), media.markdown);
    for (const [, command] of description.matchAll(/\(command:([\w.]+)\)/g))
      assert.ok(NAMES.has(command ?? ""), command);
  }
});
