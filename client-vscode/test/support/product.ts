/** What is tested, and the parts of the repository that the tests take. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const CLIENT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
export const REPOSITORY = join(CLIENT, "..");
export const PYTHON = process.env.ULLAGE_PYTHON ?? join(REPOSITORY, ".venv/bin/python");

/** The repository's own server, so that tests need no environment of the extension's making. */
export const SERVER = join(PYTHON, "../ullage");

/** The VSIX that `make vsix` made. */
export function vsix(): string {
  const named = process.env.ULLAGE_VSIX;
  if (named !== undefined) return named;
  const found = existsSync(CLIENT)
    ? readdirSync(CLIENT).filter((name) => /^ullage-.*\.vsix$/.test(name))
    : [];
  const newest = found.sort().at(-1);
  if (newest === undefined) throw new Error("There is no VSIX to test. Make one: make vsix");
  return join(CLIENT, newest);
}
