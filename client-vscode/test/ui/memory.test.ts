import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { keepPictures } from "../support/browser.ts";
import { Machine } from "../support/machine.ts";
import type { Workbench } from "../support/workbench.ts";

const LOW = { totalGb: 8, freeGb: 0.1 };
const PLENTY = { totalGb: 8, freeGb: 6 };
let machine: Machine;
let window: Workbench;

before(async () => {
  machine = await Machine.start();
  window = await machine.open("project");
});
afterEach(keepPictures);
after(() => machine?.stop());

test("low memory is told once, with what helps", async () => {
  machine.card.says(LOW);
  const notification = window.notification("Memory is low: 102.4 MB is free");
  await notification.waitFor();
  assert.deepEqual(await window.buttons(notification), [
    "Unload Model",
    "Set Size",
    "Compress",
    "Don't Show Again",
  ]);
  await window.statusItem(/7\.9\/8 GB/).waitFor();
  await window.screenshots("low-memory");
  await sleep(1500); // three more readings
  assert.equal(await notification.count(), 1);
});

test("it is told again after memory was free, and never again once the person said so", async () => {
  await window.clearNotifications();
  machine.card.says(PLENTY);
  await window.statusItem(/2\/8 GB/).waitFor();
  machine.card.says(LOW);
  const notification = window.notification("Memory is low");
  await window.press(notification, "Don't Show Again");
  machine.card.says(PLENTY);
  await window.statusItem(/2\/8 GB/).waitFor();
  machine.card.says(LOW);
  await window.statusItem(/7\.9\/8 GB/).waitFor();
  await sleep(1500);
  assert.equal(await notification.count(), 0);
});
