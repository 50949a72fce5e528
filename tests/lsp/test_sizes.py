"""How large a context is, may be and becomes, asked of the real server with stubs of model servers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from support.architectures import plain
from support.raw_client import RawClient, RpcError, frame
from support.stub_lm_studio import LmStudioStub
from support.stub_router import RoutedStub, RouterStub
from support.stub_servers import Answer, LlamaCppStub, OllamaStub, OpenAiStub
from support.ullage_server import appended, opened, ullage, using, window_of

LIGHT = plain(block_count=1)
"""4 KiB a token with f16: any size fits."""
HEADS = {"attention__head_count": 512, "attention__head_count_kv": 512}
HEADS |= {"attention__key_length": 512, "attention__value_length": 512}
HEAVY = plain(block_count=500, context_length=2**20, **HEADS)
"""Half a gigabyte a token with f16: no size fits."""


def ollama(**more: Any) -> OllamaStub:
    return OllamaStub(**{"info": LIGHT, "context_length": 131_072, **more})


async def resize(client: RawClient, context_id: str, tokens: Any) -> dict[str, Any]:
    return await client.request("context/resize", {"contextId": context_id, "tokens": tokens})


async def chat(client: RawClient, context_id: str, text: str = "Hello") -> dict[str, Any]:
    return await client.request("context/chat", {"contextId": context_id, "text": text})


async def limit_of(client: RawClient, context_id: str) -> Any:
    return (await client.request("context/status", {"contextId": context_id}))["usage"]["limit"]


async def event(client: RawClient, kind: str) -> dict[str, Any]:
    """The next event of this kind, others passed over."""
    while True:
        found: dict[str, Any] = await client.notification("context/event")
        if found["kind"] == kind:
            return found


def sent_sizes(stub: OllamaStub, path: str) -> list[int]:
    return [request.json()["options"]["num_ctx"] for request in stub.sent(path) if "options" in request.json()]


class TestReadings:
    async def test_memory_is_a_complete_reading(self, tmp_path: Path) -> None:
        async with ullage(tmp_path) as client:
            reading = await client.request("context/memory")
            assert set(reading) == {"kind", "total", "used", "available", "modelLoaded", "devices", "at"}
            assert reading["kind"] in ("nvidia", "amd", "apple", "intel", "cpu")

    async def test_a_status_holds_the_last_reading_and_the_cache_type(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            await opened(client)
            status = await client.request("context/status")
            assert status["memory"]["total"] > 0
            assert status["kvCache"] == {"type": "f16", "typeSource": "assumed", "bytes": None}
            assert status["autoSize"] is True

    async def test_the_cache_of_a_loaded_model_is_told_in_bytes(self, tmp_path: Path) -> None:
        async with ollama(loaded_size=4096) as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            await opened(client)
            assert (await client.request("context/status"))["kvCache"]["bytes"] == 4096 * 4096

    async def test_statuses_one_after_the_other_ask_the_server_once(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            await opened(client)
            await client.request("context/status")
            asked = len(stub.sent("/api/ps"))
            for _ in range(5):
                await client.request("context/status")
            assert len(stub.sent("/api/ps")) <= asked + 1  # the watch may have looked once


class TestSizing:
    async def test_it_explains_itself_and_changes_nothing(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama", targetSize=12_288)) as client:
            context_id = await opened(client)
            report = await client.request("context/sizing", {"contextId": context_id})
            assert (report["tokens"], report["limitedBy"]) == (12_288, "target")
            assert report["bytesPerToken"] == 4096
            assert report["explanation"].startswith("as asked for: ")
            assert stub.sent("/api/generate") == stub.sent("/api/chat") == []
            assert stub.loaded_size is None

    async def test_another_cache_type_is_computed_with(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            report = await client.request("context/sizing", {"model": stub.model, "cacheType": "q8_0"})
            assert (report["cacheType"], report["bytesPerToken"]) == ("q8_0", 2176)

    async def test_the_setting_for_the_cache_type_is_taken_where_the_person_made_it(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama", kvQuantization="q4_0")) as client:
            report = await client.request("context/sizing", {"model": stub.model})
            assert report["cacheType"] == "q4_0"

    async def test_memory_limits_what_is_heavy_but_never_below_the_minimum(self, tmp_path: Path) -> None:
        async with ollama(info=HEAVY) as stub, ullage(tmp_path, using(stub.url, "ollama", minSize=1536)) as client:
            report = await client.request("context/sizing", {"model": stub.model})
            assert (report["limitedBy"], report["tokens"]) == ("minimum", 1536)
            assert "only 0 would fit" in report["explanation"]

    async def test_a_resting_model_is_loaded_with_the_size_that_fits(self, tmp_path: Path) -> None:
        async with ollama(info=HEAVY) as stub, ullage(tmp_path, using(stub.url, "ollama", minSize=1536)) as client:
            context_id = await opened(client)
            await chat(client, context_id)
            assert sent_sizes(stub, "/api/chat") == [1536]


class TestResizing:
    async def test_a_loaded_model_is_loaded_anew_and_the_limit_is_what_its_server_says(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            await chat(client, context_id)
            report = await resize(client, context_id, 8192)
            assert (report["tokens"], report["reloaded"]) == (8192, True)
            assert stub.loaded_size == await limit_of(client, context_id) == 8192
            told = await event(client, "resized")
            assert told["detail"] == {"model": stub.model, "before": 16_384, "after": 8192, "reloaded": True}
            await chat(client, context_id)
            assert sent_sizes(stub, "/api/chat")[-1] == 8192

    async def test_the_present_size_costs_no_reload_and_is_no_event(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            await chat(client, context_id)
            report = await resize(client, context_id, 16_384)
            assert (report["tokens"], report["reloaded"]) == (16_384, False)
            assert stub.sent("/api/generate") == []
            assert not [n for n in client.notifications if n.get("params", {}).get("kind") == "resized"]

    async def test_a_resting_model_is_given_its_size_with_the_next_answer(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            assert (await resize(client, context_id, 6144))["reloaded"] is False
            assert stub.loaded_size is None
            assert await limit_of(client, context_id) == 6144
            await chat(client, context_id)
            assert sent_sizes(stub, "/api/chat") == [6144]

    @pytest.mark.parametrize(
        ("asked", "given", "limited_by"),
        [(1, 2048, "minimum"), (2**31 - 1, 65_536, "maximum"), (50_000, 50_000, "target")],
    )
    async def test_sizes_are_clamped_and_the_report_says_by_what(
        self, tmp_path: Path, asked: int, given: int, limited_by: str
    ) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama", maxSize=65_536)) as client:
            report = await resize(client, await opened(client), asked)
            assert (report["tokens"], report["limitedBy"]) == (given, limited_by)

    async def test_the_model_limits_too(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            report = await resize(client, await opened(client), 10**9)
            assert (report["tokens"], report["limitedBy"]) == (131_072, "model")

    @pytest.mark.parametrize("tokens", [0, -1, 10**12, 2.5, None, "8192", True])
    async def test_what_is_no_size_is_refused_by_its_path(self, tmp_path: Path, tokens: Any) -> None:
        async with ullage(tmp_path) as client:
            with pytest.raises(RpcError) as failure:
                await resize(client, await opened(client), tokens)
            assert (failure.value.code, failure.value.data["path"]) == (-32602, "tokens")

    async def test_what_does_not_fit_is_refused_before_anything_is_loaded(self, tmp_path: Path) -> None:
        stub = ollama(info=HEAVY, context_length=2**20)
        async with stub, ullage(tmp_path, using(stub.url, "ollama", minSize=256)) as client:
            context_id = await opened(client)
            with pytest.raises(RpcError) as failure:
                await resize(client, context_id, 2**20)
            assert failure.value.data["kind"] == "insufficientMemory"
            assert "Choose a smaller size" in str(failure.value)
            assert stub.sent("/api/generate") == []

    async def test_a_server_that_has_too_little_memory_goes_back_to_the_size_before(self, tmp_path: Path) -> None:
        async with ollama(largest_size=20_000) as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            await chat(client, context_id)
            with pytest.raises(RpcError) as failure:
                await resize(client, context_id, 32_768)
            assert failure.value.data["kind"] == "insufficientMemory"
            assert stub.loaded_size == await limit_of(client, context_id) == 16_384
            assert (await client.request("context/status"))["autoSize"] is True
            history = await client.request("context/history", {"contextIds": [context_id]})
            assert "resize" not in [operation["kind"] for operation in history["operations"]]

    async def test_contexts_of_one_model_have_one_size(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            first, second = await opened(client), await opened(client, "other")
            await chat(client, first)
            await resize(client, first, 6144)
            assert await limit_of(client, second) == 6144
            await chat(client, second)
            assert sent_sizes(stub, "/api/chat")[-1] == stub.loaded_size == 6144

    async def test_two_at_once_end_with_one_of_the_two_sizes_everywhere(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            first, second = await opened(client), await opened(client, "other")
            await chat(client, first)
            await asyncio.gather(resize(client, first, 6144), resize(client, second, 8192))
            assert stub.loaded_size in (6144, 8192)
            assert await limit_of(client, first) == await limit_of(client, second) == stub.loaded_size

    async def test_it_is_in_the_history_of_what_was_done(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            await resize(client, context_id, 6144)
            operations = (await client.request("context/history"))["operations"]
            assert [o["detail"]["tokens"] for o in operations if o["kind"] == "resize"] == [6144]


class TestDuringAnAnswer:
    @pytest.mark.parametrize("method", ["context/resize", "context/model/unload"])
    async def test_nothing_is_reloaded(self, tmp_path: Path, method: str) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            answering, other = await opened(client), await opened(client, "other")
            gate = asyncio.Event()
            stub.answers.append(Answer(gate=gate))
            pending = await client.begin("context/chat", {"contextId": answering, "text": "Hello"})
            await stub.received("/api/chat")
            of = {"model": stub.model} if "unload" in method else {"contextId": other, "tokens": 4096}
            with pytest.raises(RpcError) as failure:
                await client.request(method, of)
            assert (failure.value.data["kind"], failure.value.data["reason"]) == ("contextBusy", "answering")
            gate.set()
            await client.answer(pending)
            assert stub.sent("/api/generate") == []
            await client.request(method, of)

    async def test_an_answer_outside_of_any_context_counts_too(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            gate = asyncio.Event()
            stub.answers.append(Answer(gate=gate))
            pending = await client.begin("context/complete", {"messages": [{"role": "user", "content": "Hello"}]})
            await stub.received("/api/chat")
            with pytest.raises(RpcError) as failure:
                await resize(client, context_id, 4096)
            assert failure.value.data["kind"] == "contextBusy"
            gate.set()
            await client.answer(pending)

    async def test_automatic_sizes_wait_for_the_next_look(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            await resize(client, context_id, 4096)
            gate = asyncio.Event()
            stub.answers.append(Answer(gate=gate))
            pending = await client.begin("context/chat", {"contextId": context_id, "text": "Hello"})
            await stub.received("/api/chat")
            report = await client.request("context/autoSize", {"contextId": context_id, "enabled": True})
            assert report["reloaded"] is False
            assert stub.loaded_size == 4096
            gate.set()
            await client.answer(pending)


class TestMakingRoom:
    async def filled(self, client: RawClient) -> str:
        """A context whose ten turns need more than 2,048 tokens."""
        context_id = await opened(client)
        for number in range(10):
            await appended(client, context_id, f"question {number} " + "word " * 150)
            await appended(client, context_id, f"answer {number} " + "word " * 50, role="assistant")
        await chat(client, context_id)
        return context_id

    async def test_whole_turns_leave_and_can_be_brought_back(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await self.filled(client)
            before = await window_of(client, context_id)
            await resize(client, context_id, 2048)
            after = await window_of(client, context_id)
            assert after == before[-len(after) :]
            assert after[0].startswith("question ")
            usage = (await client.request("context/status"))["usage"]
            assert usage["pressure"] <= 1
            assert (await event(client, "trimmed"))["contextId"] == context_id
            await client.request("context/undo", {"contextId": context_id})
            assert await window_of(client, context_id) == before

    async def test_what_can_not_be_made_to_fit_is_refused_and_nothing_has_changed(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            roomy, tight = await self.filled(client), await opened(client, "other")
            await appended(client, tight, "word " * 3000)
            before = await window_of(client, roomy)
            with pytest.raises(RpcError) as failure:
                await resize(client, roomy, 2048)
            assert failure.value.data["kind"] == "insufficientMemory"
            assert await window_of(client, roomy) == before
            assert stub.loaded_size == 16_384

    async def test_a_server_that_fails_costs_no_turn(self, tmp_path: Path) -> None:
        async with LlamaCppStub(n_ctx=16_384) as stub, ullage(tmp_path, using(stub.url)) as client:
            context_id = await self.filled(client)
            before = await window_of(client, context_id)
            with pytest.raises(RpcError) as failure:
                await resize(client, context_id, 2048)
            assert failure.value.data["kind"] == "notSupported"
            assert await window_of(client, context_id) == before

    async def test_a_context_that_another_window_writes_is_not_resized_from_here(self, tmp_path: Path) -> None:
        async with ollama() as stub:
            options = using(stub.url, "ollama")
            async with ullage(tmp_path, options) as first, ullage(tmp_path, options) as second:
                context_id = await self.filled(first)
                with pytest.raises(RpcError) as failure:
                    await resize(second, await opened(second), 4096)
                assert (failure.value.data["kind"], failure.value.data["reason"]) == ("contextBusy", "elsewhere")
                assert stub.loaded_size == await limit_of(first, context_id) == 16_384


class TestServersThatCanNotBeTold:
    @pytest.mark.parametrize(
        ("stub", "provider", "advice"),
        [
            (LlamaCppStub(), "llamacpp", "Start llama-server again with `-c 6144`"),
            (LlamaCppStub(slots=2), "llamacpp", "`-c 12288` (for 2 slots together)"),
            (OpenAiStub(kind="vllm"), "openai", "`--max-model-len 6144`"),
        ],
    )
    async def test_they_keep_their_size_and_the_person_is_told_what_to_do(
        self, tmp_path: Path, stub: LlamaCppStub | OpenAiStub, provider: str, advice: str
    ) -> None:
        async with stub, ullage(tmp_path, using(stub.url, provider)) as client:
            context_id = await opened(client)
            with pytest.raises(RpcError) as failure:
                await resize(client, context_id, 6144)
            assert failure.value.data["kind"] == "notSupported"
            assert advice in str(failure.value)
            assert await limit_of(client, context_id) == 4096

    async def test_the_size_that_they_have_is_no_change_to_refuse(self, tmp_path: Path) -> None:
        async with LlamaCppStub() as stub, ullage(tmp_path, using(stub.url)) as client:
            report = await resize(client, await opened(client), 4096)
            assert (report["tokens"], report["reloaded"]) == (4096, False)

    async def test_what_the_server_gives_is_the_limit_of_the_report(self, tmp_path: Path) -> None:
        async with LlamaCppStub() as stub, ullage(tmp_path, using(stub.url)) as client:
            report = await client.request("context/sizing", {"contextId": await opened(client)})
            assert (report["tokens"], report["limitedBy"]) == (4096, "provider")

    async def test_unloading_is_refused_as_well(self, tmp_path: Path) -> None:
        async with LlamaCppStub() as stub, ullage(tmp_path, using(stub.url)) as client:
            with pytest.raises(RpcError) as failure:
                await client.request("context/model/unload", {"model": stub.model})
            assert failure.value.data["kind"] == "notSupported"


class TestServersThatLoadAnew:
    async def test_lm_studio_grows_and_shrinks(self, tmp_path: Path) -> None:
        async with LmStudioStub() as stub, ullage(tmp_path, using(stub.url, "openai")) as client:
            context_id = await opened(client)
            for tokens in (8192, 6144):
                assert (await resize(client, context_id, tokens))["tokens"] == tokens
                assert stub.window == await limit_of(client, context_id) == tokens

    async def test_a_router_whose_presets_say_the_size_is_told_to_load_it(self, tmp_path: Path) -> None:
        routed = RoutedStub(preset=8192, read=4096, loaded=4096, status="loaded")
        stub = RouterStub(models={"stub-model": routed})
        async with stub, ullage(tmp_path, using(stub.url)) as client:
            context_id = await opened(client)
            assert (await resize(client, context_id, 8192))["tokens"] == 8192
            assert await limit_of(client, context_id) == 8192


class TestAutomaticSizes:
    async def test_the_choice_survives_a_restart(self, tmp_path: Path) -> None:
        async with ollama() as stub:
            async with ullage(tmp_path, using(stub.url, "ollama")) as client:
                context_id = await opened(client)
                await resize(client, context_id, 6144)
                assert (await client.request("context/status"))["autoSize"] is False
            async with ullage(tmp_path, using(stub.url, "ollama")) as client:
                await opened(client)
                status = await client.request("context/status")
                assert (status["autoSize"], status["usage"]["limit"]) == (False, 6144)
                report = await client.request("context/autoSize", {"contextId": context_id, "enabled": True})
                assert report["tokens"] == 16_384
            async with ullage(tmp_path, using(stub.url, "ollama")) as client:
                await opened(client)
                status = await client.request("context/status")
                assert (status["autoSize"], status["usage"]["limit"]) == (True, 16_384)

    async def test_turned_off_the_size_stays(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            report = await client.request("context/autoSize", {"contextId": context_id, "enabled": False})
            assert (report["tokens"], report["target"]) == (16_384, 16_384)

    async def test_turned_on_a_loaded_model_is_loaded_anew_at_once(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            context_id = await opened(client)
            await resize(client, context_id, 6144)
            await chat(client, context_id)
            report = await client.request("context/autoSize", {"contextId": context_id, "enabled": True})
            assert (report["tokens"], report["reloaded"], stub.loaded_size) == (16_384, True, 16_384)

    async def test_what_somebody_else_loaded_keeps_its_size(self, tmp_path: Path) -> None:
        async with ollama(loaded_size=5000) as stub:
            often = {**using(stub.url, "ollama"), "memory": {"pollSeconds": 0.5}}
            async with ullage(tmp_path, often) as client:
                context_id = await opened(client)
                await chat(client, context_id)
                seen = len(stub.sent("/api/ps"))
                while len(stub.sent("/api/ps")) < seen + 3:
                    await asyncio.wait_for(client.request("context/memory"), 5)
                    await client.request("context/canAllocate", {"contextId": context_id, "tokens": 1})
                assert sent_sizes(stub, "/api/chat") == [5000]
                assert stub.sent("/api/generate") == []
                assert await limit_of(client, context_id) == 5000


class TestRoomAndModels:
    async def test_the_window_less_the_answers_room_may_be_allocated(self, tmp_path: Path) -> None:
        async with ollama() as stub, ullage(tmp_path, using(stub.url, "ollama", targetSize=4096)) as client:
            await opened(client)
            await client.request("context/status")
            allowed = await client.request("context/canAllocate", {"tokens": 1000})
            assert allowed == {"allowed": True, "safeLimit": 3072, "reason": None}
            refused = await client.request("context/canAllocate", {"tokens": 4000})
            assert refused["allowed"] is False
            assert "has room for 3,072" in refused["reason"]

    async def test_unloading_frees_memory_and_is_told(self, tmp_path: Path) -> None:
        async with ollama(loaded_size=4096) as stub, ullage(tmp_path, using(stub.url, "ollama")) as client:
            await opened(client)
            assert (await client.request("context/status"))["model"]["loaded"] is True
            freed = await client.request("context/model/unload", {"model": stub.model})
            assert freed == {"freedBytes": 5_000_000}
            told = await event(client, "modelUnloaded")
            assert told["detail"] == {"model": stub.model, "provider": "ollama"}
            assert (await client.request("context/status"))["model"]["loaded"] is False

    async def test_another_model_is_sized_anew(self, tmp_path: Path) -> None:
        async with ollama() as stub, LlamaCppStub(model="other-model") as other:
            providers = {"default": "auto", "ollama": {"url": stub.url}, "llamacpp": {"url": other.url}}
            async with ullage(tmp_path, {"providers": providers}) as client:
                await client.request("context/models")
                context_id = await opened(client)
                assert (await client.request("context/status"))["usage"]["limit"] == 16_384
                await client.request("context/model/select", {"contextId": context_id, "model": other.model})
                assert await limit_of(client, context_id) == 4096


class TestEstimates:
    async def test_they_need_no_model_server(self, tmp_path: Path) -> None:
        async with ullage(tmp_path) as client:
            estimate = await client.request("context/estimateMemory", {"metadata": plain(), "contextTokens": 8192})
            assert estimate["totalBytes"] == 2**30
            assert estimate["bytesPerToken"] == 131_072

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("block_count", 0),
            ("attention__head_count", 10**12),
            ("attention__sliding_window", -1),
            ("attention__head_count_kv", [8, 8]),
            ("block_count", None),
        ],
    )
    async def test_metadata_that_make_no_sense_are_refused_by_their_key(
        self, tmp_path: Path, key: str, value: Any
    ) -> None:
        async with ullage(tmp_path) as client:
            with pytest.raises(RpcError) as failure:
                params = {"metadata": plain(**{key: value}), "contextTokens": 4096}
                await client.request("context/estimateMemory", params)
            name = key.replace("__", ".")
            assert (failure.value.code, failure.value.data["path"]) == (-32602, f'metadata["llama.{name}"]')

    @pytest.mark.parametrize("tokens", [0, -1, 10**12])
    async def test_a_size_out_of_bounds_is_refused(self, tmp_path: Path, tokens: int) -> None:
        async with ullage(tmp_path) as client:
            with pytest.raises(RpcError) as failure:
                await client.request("context/estimateMemory", {"metadata": plain(), "contextTokens": tokens})
            assert (failure.value.code, failure.value.data["path"]) == (-32602, "contextTokens")


async def test_not_a_number_is_no_size(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        params = {"contextId": context_id, "tokens": float("nan")}
        body = {"jsonrpc": "2.0", "id": 900, "method": "context/resize", "params": params}
        await client.send_bytes(frame(json.dumps(body).encode()))
        with pytest.raises(RpcError) as refused:
            await client.answer(900)
        assert refused.value.code == -32700
