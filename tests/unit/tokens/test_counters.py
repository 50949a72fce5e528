"""What counts prompts, and which counter a model gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from support.gguf_writer import byte_level_vocabulary, write_gguf
from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition
from ullage.errors import ProviderUnavailable
from ullage.tokens import choice, overhead
from ullage.tokens.calibration import Calibration
from ullage.tokens.choice import choose_counter
from ullage.tokens.counter import PromptCounter, scaled
from ullage.tokens.estimating_counter import EstimatingCounter
from ullage.tokens.special_text import COMMON_MARKERS
from ullage.tokens.text_counters import CharacterTexts

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = {"<|im_start|>": 3, "<|im_end|>": 3}
USER, ANSWER = SentMessage("user", "12345678"), SentMessage("assistant", "1234")
CALL = SentMessage("assistant", "", tool_calls=(ToolCall("c1", "look", '{"a": 1}'),))
TOOL = ToolDefinition("look", "Looks", {"type": "object"})


class Server:
    """A model server whose tokens are characters; ``extra`` tokens stand before every prompt."""

    def __init__(self, *, texts: bool = True, prompts: bool = True, extra: int = 1, per_message: int = 0) -> None:
        self.texts, self.prompts, self.extra, self.per_message = texts, prompts, extra, per_message
        self.requests = 0

    async def count_texts(self, model: str, texts: Sequence[str], *, parse_special: bool = False) -> list[int] | None:
        self.requests += 1
        return [len(text) for text in texts] if self.texts else None

    async def count_prompt(
        self, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
    ) -> int | None:
        self.requests += 1
        if not self.prompts:
            return None
        rendered = sum(len(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n") + self.per_message for m in messages)
        return self.extra + rendered + len("<|im_start|>assistant\n") + 1000 * len(tools)


class Away(Server):
    async def count_texts(self, model: str, texts: Sequence[str], *, parse_special: bool = False) -> list[int] | None:
        raise ProviderUnavailable("Nobody is there.")


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    metadata = byte_level_vocabulary(("the",), pre="smollm", special=SPECIAL) | {"tokenizer.chat_template": CHATML}
    return write_gguf(tmp_path / "model.gguf", metadata)


def characters(factor: float = 1.0) -> EstimatingCounter:
    return EstimatingCounter("characters", "estimate", CharacterTexts(), Calibration(factor))


async def test_without_anything_a_token_is_four_characters() -> None:
    assert await characters(1.5).texts(["", "1", "1234", "12345"]) == [0, 1, 1, 2]


async def test_an_estimated_prompt_is_its_pieces_and_the_frame() -> None:
    counter = characters()
    pieces = await counter.pieces([USER, ANSWER], leading=True)
    assert pieces == [2 + overhead.MESSAGE, 1 + overhead.MESSAGE]
    assert await counter.prompt([USER, ANSWER]) == sum(pieces) + counter.frame


async def test_the_learned_factor_goes_for_whole_prompts() -> None:
    plain, learned = characters(), characters().calibrated(Calibration(1.5))
    [piece], [scaled_piece] = await plain.pieces([USER], leading=True), await learned.pieces([USER], leading=True)
    assert scaled_piece == round(piece * 1.5)
    assert learned.tokenizer != plain.tokenizer


async def test_tool_calls_and_definitions_cost_their_text_and_an_overhead() -> None:
    counter = characters()
    [piece] = await counter.pieces([CALL], leading=False)
    assert piece == 1 + 2 + overhead.MESSAGE + overhead.TOOL_CALL
    with_tools = await counter.prompt([USER], [TOOL])
    assert with_tools > await counter.prompt([USER]) + overhead.TOOLS


async def test_a_multiplier_scales_and_takes_the_claim_to_exactness(model_file: Path) -> None:
    plain = await choose_counter(None, "m", model_file=model_file, chat_template=CHATML)
    doubled = await choose_counter(None, "m", model_file=model_file, chat_template=CHATML, multiplier=2.0)
    assert (plain.source, doubled.source) == ("vocabulary", "estimate")
    assert await doubled.texts(["them"]) == [2 * tokens for tokens in await plain.texts(["them"])]
    assert await doubled.prompt([USER]) == 2 * await plain.prompt([USER])
    assert doubled.frame == 2 * plain.frame
    assert doubled.tokenizer != plain.tokenizer
    assert doubled.calibrated(Calibration(1.1)) == doubled


def test_a_multiplier_of_one_changes_nothing() -> None:
    counter = characters()
    assert scaled(counter, 1.0) is counter


async def test_a_vocabulary_needs_no_request(model_file: Path) -> None:
    server = Server()
    counter = await choose_counter(server, "m", model_file=model_file, chat_template=CHATML, verified=False)
    assert (counter.source, counter.additive, counter.accepts_system) == ("vocabulary", True, True)
    assert await counter.prompt([USER]) == len("user\n12345678\nassistant\n") + 3
    assert server.requests == 0
    assert set(counter.markers) == set(SPECIAL)


async def test_a_vocabulary_that_the_server_contradicts_is_not_used_when_that_is_to_be_verified(
    model_file: Path,
) -> None:
    counter = await choose_counter(Server(), "m", model_file=model_file, chat_template=CHATML, verified=True)
    assert counter.source == "provider"


async def test_the_files_own_template_is_exact_only_where_the_server_uses_it(model_file: Path) -> None:
    guessed = await choose_counter(None, "m", model_file=model_file)
    certain = await choose_counter(None, "m", model_file=model_file, own_template=True)
    assert (guessed.source, certain.source) == ("estimate", "vocabulary")
    assert await guessed.prompt([USER]) == await certain.prompt([USER])
    learned = guessed.calibrated(Calibration(1.5))
    assert await learned.prompt([USER]) == round(1.5 * await certain.prompt([USER]))
    assert await learned.texts(["them"]) == await certain.texts(["them"])
    assert certain.calibrated(Calibration(1.5)) is certain


async def test_the_servers_tokenizer_comes_second_and_its_frame_is_measured() -> None:
    counter = await choose_counter(Server(extra=7), "m", chat_template=CHATML)
    assert (counter.source, counter.additive) == ("provider", True)
    assert counter.frame == 7 + len("<|im_start|>assistant\n")
    assert set(counter.markers) == COMMON_MARKERS


async def test_pieces_are_not_added_up_where_the_server_adds_up_otherwise() -> None:
    server = Server(per_message=2)
    counter = await choose_counter(server, "m", chat_template=CHATML)
    assert (counter.source, counter.additive) == ("provider", False)
    assert await counter.prompt([USER]) == await server.count_prompt("m", [USER], ())


async def test_definitions_that_the_template_leaves_out_are_counted_by_the_server(model_file: Path) -> None:
    server = Server()
    for counter in (
        await choose_counter(server, "m", model_file=model_file, chat_template=CHATML, verified=False),
        await choose_counter(server, "m"),
    ):
        assert await counter.prompt([USER], [TOOL]) == await server.count_prompt("m", [USER], [TOOL])


async def test_definitions_are_estimated_where_nobody_can_count_them(model_file: Path) -> None:
    counter = await choose_counter(None, "m", model_file=model_file, chat_template=CHATML)
    assert await counter.prompt([USER], [TOOL]) > await counter.prompt([USER]) + overhead.TOOLS


async def test_a_server_that_counts_prompts_without_telling_its_template_is_asked_for_each() -> None:
    server = Server()
    counter = await choose_counter(server, "m")
    assert (counter.source, counter.additive) == ("provider", False)
    assert await counter.prompt([USER]) == await server.count_prompt("m", [USER], ())


async def test_a_server_that_counts_texts_only_gives_an_estimate_of_prompts() -> None:
    counter = await choose_counter(Server(prompts=False), "m")
    assert (counter.source, counter.additive) == ("estimate", True)
    assert await counter.texts(["12345"]) == [5]


async def test_a_server_that_counts_prompts_only_is_asked_for_each() -> None:
    server = Server(texts=False)
    counter = await choose_counter(server, "m", calibration=Calibration(2.0))
    assert (counter.source, counter.additive) == ("provider", False)
    assert await counter.prompt([USER], [TOOL]) == await server.count_prompt("m", [USER], [TOOL])
    assert await counter.texts(["hello world"]) == [4]


@pytest.mark.parametrize("server", [None, Server(texts=False, prompts=False), Away()])
async def test_tiktoken_comes_third(server: Server | None) -> None:
    counter = await choose_counter(server, "m", calibration=Calibration(2.0))
    assert counter.source == "tiktoken"
    assert await counter.texts(["hello world"]) == [4]


async def test_characters_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "o200k", lambda: None)
    counter = await choose_counter(None, "m")
    assert (counter.source, await counter.texts(["12345"])) == ("estimate", [2])


@pytest.mark.parametrize("source", ["{{ raise_exception('no') }}", "{% broken"])
async def test_a_template_that_can_not_be_used_leads_to_the_next_means(model_file: Path, source: str) -> None:
    counter = await choose_counter(None, "m", model_file=model_file, chat_template=source)
    assert counter.source == "tiktoken"


async def test_a_file_that_can_not_be_read_leads_to_the_next_means(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    for name in ("broken.gguf", "missing.gguf"):
        assert (await choose_counter(None, "m", model_file=tmp_path / name)).source == "tiktoken"


async def test_a_marker_that_is_read_in_plain_text_too_is_disarmed(tmp_path: Path) -> None:
    special = {"<|im_start|>": 4, "<|im_end|>": 3, "<think>": 4}
    metadata = byte_level_vocabulary((), pre="smollm", special=special)
    file = write_gguf(tmp_path / "model.gguf", metadata)
    counter = await choose_counter(None, "m", model_file=file, chat_template=CHATML)
    assert set(counter.markers) == {"<|im_start|>", "<|im_end|>"}


async def test_long_texts_are_counted_off_the_event_loop_and_alike(model_file: Path) -> None:
    counter = await choose_counter(None, "m", model_file=model_file, chat_template=CHATML)
    [short], [long] = await counter.texts(["the x"]), await counter.texts(["the x" * 20_000])
    assert long == short * 20_000


async def test_a_template_that_is_not_additive_is_rendered_whole(model_file: Path) -> None:
    numbered = CHATML.replace("{{ m.content }}", "{{ m.content }}{{ loop.index }}")
    counter: PromptCounter = await choose_counter(None, "m", model_file=model_file, chat_template=numbered)
    assert (counter.source, counter.additive) == ("vocabulary", False)
    assert await counter.prompt([USER]) == len("user\n123456781\nassistant\n") + 3


@pytest.mark.parametrize("source", [CHATML, "{{ bos_token }}" + CHATML])
async def test_the_bos_token_is_counted_once_whether_or_not_the_template_writes_it(tmp_path: Path, source: str) -> None:
    special = {**SPECIAL, "<s>": 3}
    metadata = byte_level_vocabulary((), pre="smollm", special=special)
    bos = len(metadata["tokenizer.ggml.tokens"]) - 1
    metadata |= {"tokenizer.ggml.bos_token_id": bos, "tokenizer.ggml.add_bos_token": True}
    file = write_gguf(tmp_path / "model.gguf", metadata)
    counter = await choose_counter(None, "m", model_file=file, chat_template=source)
    expected = len("user\n12345678\nassistant\n") + 3 + 1
    assert await counter.prompt([USER]) == expected
    assert sum(await counter.pieces([USER], leading=True)) + counter.frame == expected
