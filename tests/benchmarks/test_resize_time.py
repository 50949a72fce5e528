"""What resizing costs beyond the engine's own loading, through the real server."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.engine import embedded, needs_engine, smollm2
from support.measuring import told
from support.raw_client import RawClient
from support.ullage_server import opened, ullage

pytestmark = [*needs_engine, pytest.mark.bench, pytest.mark.timeout(300)]

MOST_S = 1.0
SIZES = (2048, 8192, 2048, 8192, 2048)
LOADING = """
import os, sys, time
began = time.perf_counter()
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.port = sys.argv[1], int(sys.argv[2]), 0
params.n_parallel, params.fit_params, params.cache_ram_mib = 1, False, 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
server = xllamacpp.Server(params)
print(time.perf_counter() - began, flush=True)
os._exit(0)
"""


def loading_s(tokens: int) -> float:
    """What the engine takes by itself, from its first line to its being loaded, in a process of its own."""
    command = [sys.executable, "-c", LOADING, str(smollm2()), str(tokens)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return float(done.stdout.splitlines()[-1])


async def resizing_s(client: RawClient, context_id: str, tokens: int) -> float:
    began = time.perf_counter()
    report = await client.request("context/resize", {"contextId": context_id, "tokens": tokens}, timeout=90)
    took = time.perf_counter() - began
    assert (report["tokens"], report["reloaded"]) == (tokens, True)
    return took


async def test_a_resize_takes_at_most_a_second_beyond_the_engines_own_loading(tmp_path: Path) -> None:
    async with ullage(tmp_path, embedded(4096, minSize=256)) as client:
        context_id = await opened(client)
        params = {"contextId": context_id, "text": "What is a cask?", "options": {"maxTokens": 4}}
        await client.request("context/chat", params, timeout=90)
        bare, through = [], []
        for tokens in SIZES:
            bare.append(loading_s(tokens))
            through.append(await resizing_s(client, context_id, tokens))
    beyond = statistics.median(through) - statistics.median(bare)
    figures = {"loading_s": statistics.median(bare), "resizing_s": statistics.median(through)}
    told("resize beyond the engine's own loading, s", beyond, MOST_S, **figures)
    assert beyond <= MOST_S
