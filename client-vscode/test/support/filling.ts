/** A conversation that fills the window of the tests' model server, which counts each word and each blank as a token. */

import type { ContextStatus } from "../../src/protocol.ts";
import type { Hand } from "./hand.ts";

const ROLES = ["user", "assistant"] as const;
const AROUND_EACH = 2;

/** Says as much as brings the window to `fraction`: a question and an answer. */
export async function fill(hand: Hand, fraction: number): Promise<void> {
  const { context, usage } = await hand.request<ContextStatus>("context/status", {});
  const wanted = Math.round(fraction * (usage.limit ?? 0)) - usage.tokens;
  const content = "word ".repeat(Math.floor((wanted / ROLES.length - AROUND_EACH) / 2));
  const messages = ROLES.map((role) => ({ role, content }));
  await hand.request("context/append", { contextId: context.id, messages });
}

/** Says something short. */
export async function say(hand: Hand, ...texts: string[]): Promise<void> {
  const { context } = await hand.request<ContextStatus>("context/status", {});
  const messages = texts.map((content, index) => ({ role: ROLES[index % 2], content }));
  await hand.request("context/append", { contextId: context.id, messages });
}
