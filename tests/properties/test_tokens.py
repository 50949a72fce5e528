"""What holds for every text, message and file that is counted."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.gguf_writer import byte_level_vocabulary, header_bytes, write_gguf
from ullage.conversation.messages import SentMessage, ToolCall
from ullage.settings import TokenSettings
from ullage.tokens.cache import CountCache
from ullage.tokens.calibration import Calibration
from ullage.tokens.character_pairs import CharacterPairEncoder, merge_few, merge_many
from ullage.tokens.chat_template import ChatTemplate, ChatTemplateError
from ullage.tokens.choice import choose_counter
from ullage.tokens.counter import PromptCounter
from ullage.tokens.estimating_counter import EstimatingCounter
from ullage.tokens.gguf import GgufError
from ullage.tokens.pretokenizers import UnsupportedVocabulary
from ullage.tokens.special_search import SpecialSearch
from ullage.tokens.special_text import COMMON_MARKERS, disarm
from ullage.tokens.text_counters import CharacterTexts
from ullage.tokens.vocabulary import Vocabulary, read_vocabulary

SPECIAL = {"<|im_start|>": 3, "<|im_end|>": 3, "<tool>": 4}
TEMPLATE = (
    "{% for t in tools or [] %}<|im_start|>{{ t | tojson }}<|im_end|>{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}({{ c.function.name }} {{ c.function.arguments | tojson }}){% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
METADATA = byte_level_vocabulary(("the", "Ġthe"), pre="smollm", special=SPECIAL)
HEADER = header_bytes(METADATA)

texts = st.lists(
    st.one_of(
        st.text(max_size=8), st.sampled_from(sorted(COMMON_MARKERS)), st.sampled_from(["<|", "im_", "end|>", "<"])
    )
).map("".join)
messages = st.builds(SentMessage, role=st.sampled_from(["user", "assistant"]), content=texts)
calls = st.lists(
    st.builds(ToolCall, id=st.just("c1"), name=st.text("abc_", min_size=1), arguments=st.just("{}") | texts),
    min_size=1,
    max_size=3,
).map(tuple)
markers = st.sets(st.text("<|a>", min_size=2, max_size=4), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("tokens") / "model.gguf", METADATA)


@pytest.fixture(scope="module")
def vocabulary(model_file: Path) -> Vocabulary:
    return read_vocabulary(model_file)


@pytest.fixture(scope="module")
def counters(model_file: Path) -> list[PromptCounter]:
    by_vocabulary = choose_counter(None, "m", model_file=model_file, chat_template=TEMPLATE)
    return [asyncio.run(by_vocabulary), EstimatingCounter("characters", "estimate", CharacterTexts())]


@given(st.lists(st.tuples(st.text("abc", min_size=1).map(lambda id_: (id_,)), messages), max_size=8), st.booleans())
def test_property_03_a_counted_message_is_served_from_the_cache(
    keyed: list[tuple[tuple[str, ...], SentMessage]], leading: bool
) -> None:
    keyed = list(dict(keyed).items())
    cache = CountCache()

    async def count(missing: Sequence[SentMessage]) -> list[int]:
        return [len(message.content) for message in missing]

    async def refuse(missing: Sequence[SentMessage]) -> list[int]:
        raise AssertionError("counted again")

    first = asyncio.run(cache.count("t", keyed, leading, count))
    assert asyncio.run(cache.count("t", keyed, leading, refuse)) == first
    assert (cache.misses, cache.hits) == (len(keyed), len(keyed))


@given(st.lists(texts, max_size=5), st.floats(0.5, 2))
def test_property_04_the_fallback_is_a_quarter_of_the_characters_rounded_up(contents: list[str], factor: float) -> None:
    counter = EstimatingCounter("characters", "estimate", CharacterTexts(), Calibration(factor))
    counts = asyncio.run(counter.texts(contents))
    assert counts == [math.ceil(len(text) / 4) for text in contents]


@given(messages, calls)
def test_property_05_tool_calls_add_their_overhead(
    counters: list[PromptCounter], message: SentMessage, tool_calls: tuple[ToolCall, ...]
) -> None:
    answer = attrs.evolve(message, role="assistant")
    for counter in counters:
        without, with_calls = (
            asyncio.run(counter.pieces([m], leading=False))[0]
            for m in (answer, attrs.evolve(answer, tool_calls=tool_calls))
        )
        texts_alone = sum(asyncio.run(counter.texts([call.name for call in tool_calls])))
        assert with_calls > without + texts_alone / 2


@given(texts, st.dictionaries(st.sampled_from(["a", "b", "x*"]), st.floats(0.1, 10), max_size=3))
def test_property_06_multipliers_apply_per_model(model_file: Path, text: str, multipliers: dict[str, float]) -> None:
    tokens = TokenSettings(multipliers)

    async def count(model: str) -> tuple[int, PromptCounter]:
        counter = await choose_counter(None, model, model_file=model_file, multiplier=tokens.multiplier(model))
        return (await counter.texts([text]))[0], counter

    plain, _ = asyncio.run(count("other"))
    for model, glob in (("a", "a"), ("b", "b"), ("xyz", "x*")):
        counted, counter = asyncio.run(count(model))
        multiplier = multipliers.get(glob, 1.0)
        assert counted == (plain if multiplier == 1 else round(plain * multiplier))
        assert multiplier == 1 or counter.source == "estimate"


@given(texts, st.just(set(COMMON_MARKERS)) | markers)
def test_property_no_marker_is_left_whole(text: str, breakable: set[str]) -> None:
    disarmed = disarm(text, breakable)
    assert not any(marker in disarmed for marker in breakable)
    assert disarm(disarmed, breakable) == disarmed


@given(st.text("<|a>", max_size=30), markers)
def test_property_overlapping_markers_are_broken_too(text: str, breakable: set[str]) -> None:
    disarmed = disarm(text, breakable)
    assert not any(marker in disarmed for marker in breakable)
    assert disarmed.replace("\u200b", "") == text


@given(st.text(), markers)
def test_property_text_without_markers_is_unchanged(text: str, breakable: set[str]) -> None:
    if not any(marker in text for marker in breakable):
        assert disarm(text, breakable) == text


@given(texts)
def test_property_counting_and_encoding_agree(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.count(text) == len(vocabulary.encode(text))


@settings(max_examples=300)
@given(
    st.text("ab", max_size=60),
    st.dictionaries(st.text("ab", min_size=2, max_size=6), st.integers(0, 3), min_size=8, max_size=30),
)
def test_property_words_and_long_texts_are_merged_alike(text: str, ranks: dict[str, int]) -> None:
    assert merge_few(text, ranks, "") == merge_many(text, ranks, "")


@settings(max_examples=400)
@given(
    st.text("abc \n▁", max_size=40),
    st.dictionaries(st.text("abc▁\n", min_size=2, max_size=4), st.integers(0, 3), max_size=12),
)
def test_property_cutting_before_merging_changes_nothing(text: str, ranks: dict[str, int]) -> None:
    ids = {made: number for number, made in enumerate(("a", "b", "c", "▁", "\n", *ranks))}
    encoder = CharacterPairEncoder(ids, ranks, ranks, {})
    assert encoder.encode(text) == [ids[symbol] for symbol in merge_few(text.replace(" ", "▁"), ranks, "")]
    assert encoder.count(text) == len(encoder.encode(text))


@given(
    st.text("<ab> ", max_size=30),
    st.lists(st.text("<ab>", min_size=1, max_size=4), unique=True).map(
        lambda tokens: {token: id_ for id_, token in enumerate(tokens)}
    ),
)
def test_property_tokens_are_found_one_after_another_the_longest_first(text: str, ids: dict[str, int]) -> None:
    expected: list[str | int] = [text] if text else []
    for token in sorted(ids, key=len, reverse=True):
        parts = ([part] if isinstance(part, int) else _split(part, token, ids[token]) for part in expected)
        expected = [piece for part in parts for piece in part if piece != ""]
    assert SpecialSearch(ids).partition(text) == expected


def _split(text: str, token: str, id_: int) -> list[str | int]:
    first, *others = text.split(token)
    return [first, *(part for other in others for part in (id_, other))]


@given(st.lists(messages, max_size=4), messages)
def test_property_a_prompt_is_its_pieces_and_the_frame(
    counters: list[PromptCounter], others: list[SentMessage], last: SentMessage
) -> None:
    conversation = [attrs.evolve(m, content=disarm(m.content, COMMON_MARKERS)) for m in (*others, last)]
    for counter in counters:
        head = asyncio.run(counter.pieces(conversation[:1], leading=True))
        rest = asyncio.run(counter.pieces(conversation[1:], leading=False))
        assert asyncio.run(counter.prompt(conversation)) == sum(head + rest) + counter.frame


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(HEADER) - 1), st.binary(max_size=9)), max_size=4),
    st.integers(0, len(HEADER)) | st.just(len(HEADER)),
)
def test_property_a_damaged_file_is_refused_or_read(
    tmp_path: Path, changes: list[tuple[int, bytes]], length: int
) -> None:
    data = bytearray(HEADER)
    for at, replacement in changes:
        data[at : at + len(replacement)] = replacement
    file = tmp_path / "damaged.gguf"
    file.write_bytes(data[:length])
    with contextlib.suppress(GgufError, UnsupportedVocabulary):
        read_vocabulary(file).count("the <|im_start|>\x00 é")


@given(
    st.lists(
        st.sampled_from(["{{", "}}", "{%", "%}", " for m in messages ", " endfor ", " m.content ", " ~ ", "|", "'"])
    )
)
def test_property_a_nonsense_template_is_refused_or_rendered(parts: list[str]) -> None:
    with contextlib.suppress(ChatTemplateError):
        ChatTemplate("".join(parts)).render([SentMessage("user", "ask")])
