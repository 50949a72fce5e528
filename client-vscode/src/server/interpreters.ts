// The interpreter that is chosen in Microsoft's Python extensions, asked through what they offer other extensions.
import { setTimeout as sleep } from "node:timers/promises";
import { extensions, type Uri, workspace } from "vscode";
import { log } from "../log.ts";

interface PythonEnvironments {
  getEnvironment(scope: Uri | undefined): Promise<{ execInfo: { run: { executable: string } } } | undefined>;
}

interface Python {
  environments: {
    getActiveEnvironmentPath(resource?: Uri): { path: string };
    resolveEnvironment(path: { path: string }): Promise<{ executable: { uri?: Uri } } | undefined>;
  };
}

const PATIENCE_MS = 5000;

export async function activeInterpreters(): Promise<string[]> {
  const folder = workspace.workspaceFolders?.[0]?.uri;
  const found = [
    await ask<PythonEnvironments>("ms-python.vscode-python-envs", async (api) => {
      return (await api.getEnvironment(folder))?.execInfo.run.executable;
    }),
    await ask<Python>("ms-python.python", async ({ environments }) => {
      const path = environments.getActiveEnvironmentPath(folder);
      return (await environments.resolveEnvironment(path))?.executable.uri?.fsPath;
    }),
  ];
  return found.filter((path) => path !== undefined);
}

async function ask<Api>(
  id: string,
  question: (api: Api) => Promise<string | undefined>,
): Promise<string | undefined> {
  const extension = extensions.getExtension<Api>(id);
  if (!extension) return undefined;
  const answer = async () => question(await extension.activate());
  try {
    return await Promise.race([answer(), sleep(PATIENCE_MS, undefined, { ref: false })]);
  } catch (error) {
    log.info(`${id} did not tell its Python: ${error}`);
    return undefined;
  }
}
