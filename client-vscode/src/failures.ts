// Everything that can go wrong, as a sentence for a person and a next step.
import type { FailureKind } from "./protocol.ts";

/** Beside the server's own kinds: `serverLost` ended in mid-answer, `noServer` can't be asked at all. */
export type Kind = FailureKind | "cancelled" | "invalidParams" | "serverLost" | "noServer" | "noFolder";

// Codes of JSON-RPC and, for lost connections, of the language client, which is not loaded for their names.
const INVALID_PARAMS = -32602;
const REQUEST_CANCELLED = -32800;
const REQUEST_FAILED = -32803;
const CONNECTION_LOST = [-32099, -32098, -32097, -32096, 1, 2];

const LOST =
  "The Ullage server ended before it answered, and is started again. Nothing that was kept is lost: try once more.";
const DEFECT = "The Ullage server could not do this because of a fault of its own. Its log says where.";
const NOT_UNDERSTOOD = "The Ullage server did not understand what the extension asked. Its log says more.";

interface Rejection {
  code?: number;
  message?: string;
  data?: unknown;
  name?: string;
}

export class Failure extends Error {
  readonly kind: Kind;
  readonly data: Record<string, unknown>;

  constructor(kind: Kind, message: string, data: Record<string, unknown> = {}) {
    super(message);
    this.name = "Failure";
    this.kind = kind;
    this.data = data;
  }

  /** Whatever a request was rejected with, as a failure. */
  static of(error: unknown): Failure {
    if (error instanceof Failure) return error;
    const { code, message, data, name } = (error ?? {}) as Rejection;
    const details = typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
    const reason = message ?? String(error);
    if (code === REQUEST_CANCELLED || name === "Canceled") return new Failure("cancelled", "Cancelled.");
    if (code === REQUEST_FAILED) return new Failure(details.kind as FailureKind, reason, details);
    if (code === INVALID_PARAMS) return new Failure("invalidParams", NOT_UNDERSTOOD, { ...details, reason });
    if (CONNECTION_LOST.includes(code ?? 0)) return new Failure("serverLost", LOST);
    return new Failure("internal", DEFECT, { ...details, reason });
  }
}

export interface Remedy {
  title: string;
  command: string;
  arguments?: unknown[];
}

/** Something that a person must see to, with the commands that help, the best one first. */
export interface Problem {
  message: string;
  remedies: Remedy[];
}

/** Thrown where a problem keeps something from being done; `known` to the person, who cancelled it. */
export class ProblemError extends Error {
  readonly problem: Problem;
  readonly known: boolean;

  constructor(problem: Problem, known = false) {
    super(problem.message);
    this.problem = problem;
    this.known = known;
  }
}

export const SHOW_LOG: Remedy = { title: "Show Log", command: "ullage.showLog" };
export const RESTART: Remedy = { title: "Restart Server", command: "ullage.restartServer" };

const told = new Set<string>();

/** Show a problem with its remedies as buttons; not a second time while it stands there. */
export async function tell(problem: Problem): Promise<void> {
  if (told.has(problem.message)) return;
  told.add(problem.message);
  try {
    // Only this needs the editor; all else here is tested without one.
    const { commands, window } = await import("vscode");
    const chosen = await window.showErrorMessage(
      problem.message,
      ...problem.remedies.map(({ title }) => title),
    );
    const remedy = problem.remedies.find(({ title }) => title === chosen);
    if (remedy) await commands.executeCommand(remedy.command, ...(remedy.arguments ?? []));
  } finally {
    told.delete(problem.message);
  }
}
