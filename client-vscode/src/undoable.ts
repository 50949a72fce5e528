// Which operations of a history can be taken back: pure.
import type { Operation, OperationKind } from "./protocol.ts";

const BY_DEFAULT: OperationKind[] = ["clear", "trim", "compress", "restore"];
const BY_NAME: OperationKind[] = [...BY_DEFAULT, "append", "chat", "import"];

/** Those that changed the window and were not taken back yet, as far as this history goes. */
export function undoable(history: Operation[]): Operation[] {
  const undone = new Set(
    history
      .filter(({ kind }) => kind === "undo")
      .map(({ detail }) => (detail as { operationId?: string }).operationId),
  );
  return history.filter(({ kind, id }) => BY_NAME.includes(kind) && !undone.has(id));
}

/** Whether there is something that an undo without a name would take back. */
export function canUndo(history: Operation[]): boolean {
  return undoable(history).some(({ kind }) => BY_DEFAULT.includes(kind));
}

/** `selectModel` as words. */
export function wordsOf(kind: string): string {
  const words = kind.replace(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
}
