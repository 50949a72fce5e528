/** What the editor knows of one setting; the parts of it that a person can have set. */
export interface Inspected {
  globalValue?: unknown;
  workspaceValue?: unknown;
  workspaceFolderValue?: unknown;
}

interface Manifest {
  contributes?: { configuration?: { properties?: Record<string, unknown> }[] };
}

const OWN = "ullage.extension.";

/** The settings of the manifest that are the server's. */
export function serverSettings(manifest: Manifest): string[] {
  const groups = manifest.contributes?.configuration ?? [];
  return groups.flatMap((group) => Object.keys(group.properties ?? {})).filter((key) => !key.startsWith(OWN));
}

/**
 * The tree of what a person has set in the editor, as the server takes it. What is not set stays out: sent along, the
 * editor's defaults would override the files that the server reads.
 */
export function chosenSettings(
  keys: readonly string[],
  inspect: (key: string) => Inspected | undefined,
): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const key of keys) {
    const { workspaceFolderValue, workspaceValue, globalValue } = inspect(key) ?? {};
    const value = [workspaceFolderValue, workspaceValue, globalValue].find((each) => each !== undefined);
    if (value !== undefined) put(tree, key.split(".").slice(1), value);
  }
  return tree;
}

function put(tree: Record<string, unknown>, path: string[], value: unknown): void {
  const [name = "", ...rest] = path;
  if (rest.length === 0) {
    tree[name] = value;
    return;
  }
  tree[name] ??= {};
  put(tree[name] as Record<string, unknown>, rest, value);
}
