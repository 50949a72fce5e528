// A status as the server tells it, for the tests of what is shown of it.
import type { ContextStatus, MemoryReading, Usage } from "../../src/protocol.ts";

interface Change {
  usage?: Partial<Usage>;
  memory?: Partial<MemoryReading> | null;
  status?: Partial<ContextStatus>;
}

export function statusOf({ usage, memory, status }: Change): ContextStatus {
  const filled: Usage = {
    tokens: 13_107,
    limit: 32_768,
    reserved: 1024,
    fraction: 0.4,
    pressure: 0.41,
    messages: 12,
    turnsLeft: 9,
    source: "vocabulary",
    ...usage,
  };
  const reading: MemoryReading = {
    kind: "nvidia",
    total: 8 * 2 ** 30,
    used: 6.2 * 2 ** 30,
    available: 1.8 * 2 ** 30,
    modelLoaded: null,
    devices: [],
    at: 0,
    ...memory,
  };
  return {
    context: {
      id: "01K0000000000000000000000A",
      name: "main",
      workspaceUri: "file:///home/me/project",
      mode: null,
      model: "qwen3:8b",
      priority: "active",
      createdAt: 0,
      lastUsedAt: 0,
      usage: filled,
    },
    model: { name: "qwen3:8b", provider: "ollama", loaded: true },
    usage: filled,
    memory: memory === null ? null : reading,
    kvCache: { type: "q8_0", typeSource: "assumed", bytes: 2 ** 30 },
    snapshots: 3,
    autoSize: true,
    autoCompress: { enabled: true, threshold: 0.8 },
    compressing: false,
    warning: "none",
    text: "13,107 / 32,768 (40%)",
    ...status,
  };
}
