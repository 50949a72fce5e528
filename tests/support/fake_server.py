"""A server that says what a test wants to hear: `python fake_server.py MODE`.

It speaks the protocol well enough for the terminal, keeps one context in memory, and in some modes misbehaves.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]
DELTAS = ("A quay ", "is a ", "landing place.")
MODE = sys.argv[1] if len(sys.argv) > 1 else "normal"

MEBIBYTE = 2**20
MEMORIES: dict[str, int | None] = {"roomy": 64 * 2**30, "tight": 1024 * MEBIBYTE, "full": 600 * MEBIBYTE, "blind": None}
"""Available bytes, by mode."""

MODEL_LIMIT = 40_960
WEIGHTS, RESERVE, FIXED = 100 * MEBIBYTE, 512 * MEBIBYTE, 16 * MEBIBYTE
BYTES_PER_TOKEN = {"f32": 46_080, "f16": 23_040, "bf16": 23_040, "q8_0": 12_240, "q5_1": 8_640, "q5_0": 7_920}
BYTES_PER_TOKEN |= {"q4_1": 7_200, "q4_0": 6_480, "iq4_nl": 6_480}
MODELS = [
    {"name": name, "provider": provider, "loaded": False, "contextLength": limit, "allocatedContext": None, "bytes": 1}
    for name, provider, limit in (("tiny:latest", "ollama", MODEL_LIMIT), ("odd", "llamacpp", None))
]


class Refusal(Exception):
    def __init__(self, kind: str, message: str, code: int = -32803, **data: object) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": {"kind": kind, **data}}


def send(message: Json) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    sys.stdout.buffer.flush()


def receive() -> Json:
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)
    sys.stdin.buffer.readline()
    message: Json = json.loads(sys.stdin.buffer.read(int(line.split(b":")[1])))
    return message


class FakeServer:
    def __init__(self) -> None:
        self.messages: list[Json] = []
        self.uri = ""
        self.name = "main"
        self.refused = 0
        self.taken = False
        self.target = 0

    def run(self) -> None:
        while True:
            message = receive()
            method = message.get("method")
            if method == "exit":
                os._exit(0)
            if method is None or "id" not in message:
                continue
            try:
                result = self.answer(method, message.get("params") or {}, message["id"])
                send({"id": message["id"], "result": result})
            except Refusal as refusal:
                send({"id": message["id"], "error": refusal.error})

    def answer(self, method: str, params: Json, id_: int) -> Any:
        handlers = {
            "initialize": self.initialize,
            "context/open": self.open,
            "context/list": lambda _: {"contexts": [self.context()]},
            "context/status": lambda _: self.status(),
            "context/stats": lambda _: self.stats(),
            "context/messages": self.page,
            "context/models": lambda _: {"models": MODELS if MODE in MEMORIES else []},
            "context/memory": lambda _: self.memory(),
            "context/sizing": self.sizing,
            "context/estimateMemory": self.estimate,
            "context/chat": lambda p: self.chat(p, id_),
            "context/command": self.command,
        }
        if method == "shutdown":
            if MODE == "deaf":
                time.sleep(60)
            return None
        if method == "echo":
            return params
        if method == "ask":
            return self.ask(params)
        if method == "die":
            sys.stderr.write("the boiler burst\n")
            sys.stderr.flush()
            os._exit(3)
        if method == "garbage":
            sys.stdout.write("Traceback (most recent call last):\r\n\r\n")
            sys.stdout.flush()
            time.sleep(60)
        if method == "unreadable":
            send({"id": None, "error": {"code": -32700, "message": "Send JSON."}})
            return receive()
        if MODE == "warns":
            text = "Setting context.targetSize (user file): must be a whole number"
            send({"method": "window/showMessage", "params": {"type": 2, "message": text}})
        if method not in handlers:
            raise Refusal("notSupported", "The server knows no such request.", -32601)
        return handlers[method](params)

    def initialize(self, _: Json) -> Json:
        """A size that a person chose goes before that of the settings."""
        chosen = os.environ.get("FAKE_SERVER_CHOICE") or os.environ.get("ULLAGE_CONTEXT_SIZE")
        self.target = int(chosen or 16_384)
        return {"capabilities": {}}

    def ask(self, params: Json) -> Any:
        """Send the client a request and answer with its answer."""
        send({"id": "question", **params})
        answer = receive()
        return {key: answer[key] for key in ("result", "error") if key in answer}

    def open(self, params: Json) -> Json:
        self.uri, self.name = params["workspaceUri"], params["name"]
        self.taken = params.get("takeOver", False)
        return self.context()

    def page(self, params: Json) -> Json:
        return {"messages": self.messages[-params.get("limit", 100) :], "hasMore": False}

    def command(self, params: Json) -> Json:
        """A line as the server would do it, as far as the terminal's tests type any."""
        _, name, *rest = params["line"].split()
        if name == "clear":
            self.messages.clear()
            return {"markdown": "Cleared: **empty**. `/context undo` brings it back.", "data": {"usage": self.usage()}}
        if name == "messages":
            rows = "".join(f"\n| {m['role']} | {' '.join(m['content'].split())} |" for m in self.messages)
            return {"markdown": f"| role | text |\n| --- | --- |{rows}", "data": self.page(params)}
        self.name = "night" if params["contextId"] == "N" else "main"
        if name == "switch" and rest == ["night"]:
            return {"markdown": "Now in **night**.", "data": {"context": {**self.context(), "id": "N"}}}
        if name == "switch":
            raise Refusal("invalidArgument", "No id ends so.", -32602)
        return {"markdown": f"**{name}**", "data": self.status() if name == "status" else {}}

    def add(self, role: str, content: str) -> Json:
        message = {"id": f"{len(self.messages) + 1:026}", "role": role, "content": content, "createdAt": 1, "tokens": 5}
        self.messages.append(message)
        return message

    def chat(self, params: Json, id_: int) -> Json:
        text, token = params.get("text"), params.get("partialResultToken")
        if MODE == "busy" and not self.taken:
            raise Refusal("contextBusy", "Another window writes this context.", reason="elsewhere", holder="editor")
        if text is not None:
            self.add("user", text)
        if MODE == "unavailable-once" and not self.refused:
            self.refused += 1
            raise Refusal("providerUnavailable", "No model server answers. Start one.")
        if MODE == "mortal":
            sys.stderr.write("the boiler burst\n")
            sys.stderr.flush()
            os._exit(3)
        if MODE == "trims":
            detail = {"originalTokens": 1003, "compressedTokens": 467, "removed": 6, "operationId": "0"}
            event = {"kind": "trimmed", "contextId": "C", "at": 1, "detail": detail}
            send({"method": "context/event", "params": event})
        if MODE == "damaged":
            event = {"kind": "storeDamaged", "contextId": None, "at": 1, "detail": {"file": "store.db.broken-1"}}
            send({"method": "context/event", "params": event})
            text = "The store of conversations was damaged. It was kept as store.db.broken-1."
            send({"method": "window/showMessage", "params": {"type": 2, "message": text}})
        for delta in DELTAS[: 1 if MODE == "endless" else None]:
            send({"method": "$/progress", "params": {"token": token, "value": {"delta": delta}}})
        if MODE == "stubborn":
            time.sleep(60)
        stop = self.stopped(id_) if MODE == "endless" else "stop"
        return self.result(stop)

    def stopped(self, id_: int) -> str:
        """Wait for the request to be cancelled."""
        while (message := receive()).get("method") != "$/cancelRequest" or message["params"]["id"] != id_:
            pass
        return "cancelled"

    def result(self, stop: str) -> Json:
        message = self.add("assistant", "".join(DELTAS))
        timing = {
            "firstTokenMs": 12.0,
            "totalMs": 30.0,
            "promptTokens": 230,
            "reusedTokens": 214,
            "completionTokens": 7,
        }
        return {"message": message, "usage": self.usage(), "timing": timing, "stopReason": stop}

    def memory(self) -> Json:
        if MODE not in MEMORIES:
            raise Refusal("notSupported", "The server knows no such request.", -32601)
        available = MEMORIES[MODE]
        total = None if available is None else 2 * available
        figures = {"total": total, "used": available, "available": available}
        return {"kind": "cpu", **figures, "modelLoaded": None, "devices": [{"name": "RAM", **figures}], "at": 1}

    def sizing(self, params: Json) -> Json:
        if params["model"] == "odd":
            raise Refusal("notSupported", "Nothing tells how large this model is. Load it first.")
        target = 0 if params.get("asMuchAsFits") else self.target
        available, per_token = MEMORIES[MODE], BYTES_PER_TOKEN[params["cacheType"]]
        held = None if available is None else (available - WEIGHTS - FIXED - RESERVE) // per_token // 256 * 256
        limited_by = "model" if held is None or held >= MODEL_LIMIT else "memory" if held >= 256 else "minimum"
        return {
            "tokens": max(256, min(MODEL_LIMIT if held is None else held, MODEL_LIMIT, target or MODEL_LIMIT)),
            "target": target,
            "weightsBytes": WEIGHTS,
            "limitedBy": limited_by,
            "availableBytes": available,
            "reserveBytes": RESERVE,
            "bytesPerToken": per_token,
            "fixedBytes": FIXED,
            "computeBytes": 0,
            "cacheType": params["cacheType"],
            "modelLimit": MODEL_LIMIT,
            "reloaded": False,
            "explanation": f"limited by {limited_by}",
        }

    def estimate(self, params: Json) -> Json:
        per_token = BYTES_PER_TOKEN[params["cacheTypeK"]]
        total = per_token * params["contextTokens"]
        others = dict.fromkeys(("slidingWindowBytes", "recurrentBytes", "indexerBytes"), 0)
        return {"kvBytes": total, **others, "totalBytes": total, "bytesPerToken": per_token}

    def usage(self) -> Json:
        tokens = 1000 + 203 * len(self.messages)
        fraction = tokens / 4096
        return {
            "tokens": tokens,
            "limit": 4096,
            "reserved": 512,
            "fraction": fraction,
            "pressure": tokens / 3584,
            "messages": len(self.messages),
            "turnsLeft": None,
            "source": "vocabulary",
        }

    def context(self) -> Json:
        return {
            "id": "C",
            "name": self.name,
            "workspaceUri": self.uri or Path.cwd().as_uri(),
            "mode": None,
            "model": "tiny",
            "priority": "active",
            "createdAt": 1,
            "lastUsedAt": 1,
            "usage": self.usage(),
        }

    def status(self) -> Json:
        return {
            "context": self.context(),
            "model": {"name": "tiny", "provider": "ollama", "loaded": True},
            "usage": self.usage(),
            "memory": None,
            "kvCache": {"type": "q8_0", "typeSource": "ours", "bytes": None},
            "snapshots": 0,
            "autoSize": True,
            "autoCompress": {"enabled": True, "threshold": 0.8},
            "compressing": False,
            "warning": "none",
            "text": "",
        }

    def stats(self) -> Json:
        return {
            **self.status(),
            "weightsBytes": 98_000_000,
            "tokensByRole": {"system": 0, "user": 10, "assistant": 20, "tool": 0},
            "compressions": [],
            "snapshotBytes": 0,
            "countCache": {"hits": 3, "misses": 1},
            "prompt": {"evaluated": 100, "reused": 300},
            "timings": {"firstTokenMs": 12.0, "totalMs": 30.0, "tokensPerSecond": 61.4},
            "settings": [{"path": "providers.ollama.url", "value": "http://127.0.0.1:11434", "source": "default"}],
            "memoryHistory": [],
        }


if __name__ == "__main__":
    FakeServer().run()
