/** The one browser that serves all tests of a file, and what it leaves behind: pictures. */

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";

export const SCREENSHOTS = fileURLToPath(new URL("../screenshots/", import.meta.url));

let browser: Promise<Browser> | undefined;

export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

export async function theBrowser(): Promise<Browser> {
  const executablePath = process.env.ULLAGE_CHROMIUM;
  if (executablePath === undefined)
    throw new Error("Run the tests through scripts/with-test-tools.sh, which finds a Chromium.");
  browser ??= chromium.launch({ executablePath });
  return browser;
}

/** For `afterEach`: every open window as it was when a test failed, among the tests' artefacts. */
export async function keepPictures(context: { name: string; passed?: boolean }): Promise<void> {
  if (context.passed !== false) return;
  const pages = (await browser)?.contexts().flatMap((each) => each.pages()) ?? [];
  const name = context.name.replaceAll(/[^a-zA-Z0-9]+/g, "-").slice(0, 80);
  mkdirSync(SCREENSHOTS, { recursive: true });
  for (const [index, page] of pages.entries()) {
    await page.screenshot({ path: `${SCREENSHOTS}failed-${name}-${index}.png` });
  }
}
