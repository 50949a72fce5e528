from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from attrs import evolve

from support.served import collect, request_for
from support.stub_http import reply
from support.stub_servers import Answer, Call, OllamaStub
from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition
from ullage.errors import ModelUnavailable, NotSupported, WindowExceeded
from ullage.providers.base import ChatRequest, ModelInfo
from ullage.providers.ollama import OllamaProvider, counts_whole_prompts, parameter_count
from ullage.providers.ollama_files import WEIGHTS, manifest_path, model_file

Served = tuple[OllamaStub, OllamaProvider]
TOOL = ToolDefinition("weather", "Tells the weather", {"type": "object"})
DIGEST = "a" * 64


async def test_every_request_carries_the_size_and_forbids_a_silent_cut(ollama: Served) -> None:
    stub, provider = ollama
    await collect(provider, evolve(request_for(stub, max_tokens=9, stop=("END",)), context_size=6144))
    body = stub.sent("/api/chat")[0].json()
    assert (body["truncate"], body["shift"]) == (False, False)
    assert body["options"] == {"num_ctx": 6144, "num_predict": 9, "stop": ["END"]}


async def test_the_window_is_known_once_the_model_is_loaded(ollama: Served) -> None:
    stub, provider = ollama
    assert await provider.window("stub-model") is None
    await collect(provider, evolve(request_for(stub), context_size=6144))
    assert await provider.window("stub-model") == 6144


async def test_models_are_listed_with_what_they_were_made_for_and_given(ollama: Served) -> None:
    stub, provider = ollama
    assert list(await provider.models()) == [ModelInfo("stub-model:latest", False, 8192, None, 1_000_000)]
    stub.loaded_size = 2048
    assert list(await provider.models()) == [ModelInfo("stub-model:latest", True, 8192, 2048, 1_000_000)]


async def test_a_models_parameters_and_bits_are_listed_where_they_are_told(ollama: Served) -> None:
    stub, provider = ollama
    stub.details = {"parameter_size": "134.52M", "quantization_level": "Q4_K_M"}
    [info] = await provider.models()
    assert (info.parameter_count, info.quantisation) == (134_520_000, "Q4_K_M")
    stub.details = {"parameter_size": "", "quantization_level": ""}
    [info] = await provider.models()
    assert (info.parameter_count, info.quantisation) == (None, None)


@pytest.mark.parametrize(
    ("told", "number"),
    [("8.0B", 8 * 10**9), ("70B", 70 * 10**9), ("1.1T", 1_100_000_000_000), ("8", None), ("8.0 billion", None)],
)
def test_a_number_of_parameters_is_read_as_it_is_written_for_people(told: str, number: int | None) -> None:
    assert parameter_count(told) == number


async def test_what_a_model_was_made_for_is_asked_once(ollama: Served) -> None:
    stub, provider = ollama
    await provider.models()
    await provider.models()
    assert len(stub.sent("/api/show")) == 1


async def test_models_that_would_run_in_a_cloud_are_not_offered(ollama: Served) -> None:
    stub, provider = ollama
    stub.remote_models = ("huge:cloud",)
    assert [info.name for info in await provider.models()] == ["stub-model:latest"]


async def test_a_model_that_is_not_there_is_named(ollama: Served) -> None:
    _, provider = ollama
    with pytest.raises(ModelUnavailable, match="no model named missing"):
        await collect(provider, ChatRequest("missing", (SentMessage("user", "Hello"),)))


async def test_a_models_lack_of_tools_is_told(ollama: Served) -> None:
    stub, provider = ollama
    stub.fail("/api/chat", reply(400, '{"error": "registry.ollama.ai/library/x does not support tools"}'))
    with pytest.raises(NotSupported, match="tools"):
        await collect(provider, request_for(stub, tools=(TOOL,)))


async def test_an_overflow_without_figures_is_still_one(ollama: Served) -> None:
    stub, provider = ollama
    stub.fail("/api/chat", reply(400, '{"error": "the input length exceeds the context length"}'))
    with pytest.raises(WindowExceeded) as caught:
        await collect(provider, request_for(stub))
    assert (caught.value.needed, caught.value.limit) == (None, None)


async def test_a_result_names_the_function_that_was_called(ollama: Served) -> None:
    stub, provider = ollama
    messages = (
        SentMessage("assistant", "", tool_calls=(ToolCall("c1", "weather", '{"city":"Bergen"}'),), reasoning="Hm."),
        SentMessage("tool", "sun", tool_call_id="c1"),
    )
    await collect(provider, ChatRequest(stub.model, messages))
    call, result = stub.sent("/api/chat")[0].json()["messages"]
    assert call["thinking"] == "Hm."
    assert call["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Bergen"}}
    assert (result["tool_call_id"], result["tool_name"]) == ("c1", "weather")


async def test_a_call_without_an_id_is_given_one(ollama: Served) -> None:
    stub, provider = ollama
    stub.answers.append(Answer(pieces=(), calls=(Call("weather", "{}"), Call("weather", "{}"))))
    _, deltas, _ = await collect(provider, request_for(stub, tools=(TOOL,)))
    assert len({delta.tool_call.id for delta in deltas if delta.tool_call}) == 2


async def test_tools_are_left_out_where_none_may_be_called(ollama: Served) -> None:
    stub, provider = ollama
    await collect(provider, request_for(stub, tools=(TOOL,), tool_choice="none"))
    assert "tools" not in stub.sent("/api/chat")[0].json()


@pytest.mark.parametrize(
    ("version", "whole"),
    [
        ("0.1.30", False),
        ("0.12.3", True),
        ("0.29.9", True),
        ("0.30.0", False),
        ("0.30.0-rc3", False),
        ("0.30.1", True),
        ("v0.32.15", True),
        ("0.0.0", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_which_versions_count_the_whole_prompt(version: str, whole: bool) -> None:
    assert counts_whole_prompts(version) is whole


async def test_the_version_is_asked_once_and_marks_the_figures(ollama: Served) -> None:
    stub, provider = ollama
    stub.version = "0.30.0"
    assert not (await collect(provider, request_for(stub)))[2].prompt_is_whole
    assert not (await collect(provider, request_for(stub)))[2].prompt_is_whole
    assert len(stub.sent("/api/version")) == 1


async def test_a_reported_cache_count_says_that_the_prompt_is_whole(ollama: Served) -> None:
    stub, provider = ollama
    stub.version = "0.30.0"
    last = '{"message": {"content": "Hi"}, "done": true, "prompt_eval_count": 21, "prompt_eval_cached_count": 16}\n'
    stub.fail("/api/chat", reply(200, last, "application/x-ndjson"))
    finished = (await collect(provider, request_for(stub)))[2]
    assert (finished.prompt_tokens, finished.reused_tokens, finished.prompt_is_whole) == (21, 16, True)


async def test_a_prompt_count_of_nought_is_unknown(ollama: Served) -> None:
    stub, provider = ollama
    stub.fail(
        "/api/chat", reply(200, '{"message": {}, "done": true, "prompt_eval_count": 0}\n', "application/x-ndjson")
    )
    assert (await collect(provider, request_for(stub)))[2].prompt_tokens is None


async def test_nothing_is_counted_since_there_is_no_tokenizer(ollama: Served) -> None:
    stub, provider = ollama
    assert await provider.count_texts(stub.model, ["a"], parse_special=True) is None
    assert await provider.count_prompt(stub.model, (), ()) is None
    assert stub.requests == []


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("llama3", "registry.ollama.ai/library/llama3/latest"),
        ("llama3:8b", "registry.ollama.ai/library/llama3/8b"),
        ("someone/model:tag", "registry.ollama.ai/someone/model/tag"),
        ("hf.co/someone/model-GGUF:Q4_K_M", "hf.co/someone/model-GGUF/Q4_K_M"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b/c"),
    ],
)
def test_where_a_models_manifest_lies(model: str, path: str) -> None:
    assert manifest_path(model) == Path(path)


@pytest.mark.parametrize(
    "model", ["", "../x", "a/../b", "a/b/c/d/e", "/etc/passwd", "a\0b", "..:..", "x:..", "a\\b", "a b"]
)
def test_what_is_no_name_becomes_no_path(model: str) -> None:
    assert manifest_path(model) is None


def _store(folder: Path, manifest: object) -> None:
    path = folder / "manifests/registry.ollama.ai/library/tiny/latest"
    path.parent.mkdir(parents=True)
    path.write_bytes(manifest if isinstance(manifest, bytes) else orjson.dumps(manifest))
    (folder / "blobs").mkdir()
    (folder / f"blobs/sha256-{DIGEST}").write_bytes(b"GGUF")


def test_a_models_file_is_the_blob_that_its_manifest_names(tmp_path: Path) -> None:
    layers = [{"mediaType": "other", "digest": "x"}, {"mediaType": WEIGHTS, "digest": f"sha256:{DIGEST}"}]
    _store(tmp_path, {"layers": layers})
    assert model_file("tiny", {"OLLAMA_MODELS": str(tmp_path)}) == tmp_path / f"blobs/sha256-{DIGEST}"


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"{", {"layers": 5}, {"layers": [{"mediaType": WEIGHTS, "digest": "sha256:../../secret"}]}],
)
def test_a_broken_manifest_names_no_file(tmp_path: Path, manifest: object) -> None:
    _store(tmp_path, manifest)
    assert model_file("tiny", {"OLLAMA_MODELS": str(tmp_path)}) is None


async def test_a_file_is_looked_for_only_where_the_server_is_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _store(tmp_path, {"layers": [{"mediaType": WEIGHTS, "digest": f"sha256:{DIGEST}"}]})
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    assert await OllamaProvider("http://localhost:11434").model_file("tiny") is not None
    assert await OllamaProvider("http://192.0.2.1:11434").model_file("tiny") is None
