// What helps against each kind of failure, the best first: pure.
import { type Failure, type Kind, RESTART, type Remedy, SHOW_LOG } from "./failures.ts";

export const TRUST: Remedy = { title: "Manage Trust", command: "workbench.trust.manage" };
const SIZE: Remedy = { title: "Set Size", command: "ullage.setSize" };
const COMPRESS: Remedy = { title: "Compress", command: "ullage.compress" };
const CLEAR: Remedy = { title: "Clear", command: "ullage.clear" };
const MODEL: Remedy = { title: "Choose Model", command: "ullage.chooseModel" };
const SMALL_MODEL: Remedy = { title: "Use the Small Model", command: "ullage.useSmallModel" };
const DOCTOR: Remedy = { title: "What Is Wrong?", command: "ullage.doctor" };
const SETTINGS: Remedy = { title: "Open Settings", command: "ullage.openSettings" };

const REMEDIES: { [kind in Kind]?: Remedy[] } = {
  noFolder: [{ title: "Open Folder", command: "vscode.openFolder" }],
  noServer: [RESTART, SHOW_LOG],
  serverLost: [SHOW_LOG],
  internal: [SHOW_LOG],
  contextOverflow: [COMPRESS, SIZE],
  cannotReduce: [SIZE, CLEAR],
  insufficientMemory: [SIZE],
  modelUnavailable: [MODEL, DOCTOR],
  providerUnavailable: [SMALL_MODEL, DOCTOR, SETTINGS],
  providerError: [DOCTOR, SHOW_LOG],
  storeFull: [SETTINGS],
};

export function remediesOf(failure: Failure): Remedy[] {
  return REMEDIES[failure.kind] ?? [];
}

/** The sentence for the person. Of what the server would not take, its own sentence says more than that it refused. */
export function sentenceOf(failure: Failure): string {
  const { reason } = failure.data;
  return failure.kind === "invalidParams" && typeof reason === "string" ? reason : failure.message;
}

/** Whether another window writes the context, so that taking it over would help. */
export function isElsewhere(failure: Failure): boolean {
  return failure.kind === "contextBusy" && failure.data.reason === "elsewhere";
}
