"""Vocabularies of every family against the real engine: llama.cpp's ``/tokenize`` gives the ids, ours are equal."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.gguf_writer import INT32, Typed, tiny_llama, write_gguf
from support.sent_messages import FRAGMENTS, as_json, random_conversation
from support.token_engine import Engine, engine_is_installed, running_engine
from support.vocabularies import (
    CONTROL,
    PROSE,
    USER_DEFINED,
    merged,
    pieces_of,
    ranked,
    scored,
    telltale,
)
from ullage.conversation.messages import SentMessage
from ullage.tokens.choice import choose_counter
from ullage.tokens.pretokenizers import PRETOKENIZERS
from ullage.tokens.vocabulary import Vocabulary, read_vocabulary

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not engine_is_installed(), reason="needs xllamacpp"),
    pytest.mark.timeout(300),
]

TEXTS = 1000
ODD = (
    "a", "b", "c", "aa", "ab", "▁", "▁▁", "a▁", " ", "  ", "     ", "\n", "\n\n", "\n\n\n", " \t\n", "<ab>", "<c>",
    "<t>", "<s>", "</s>", "<unk>", "<0x0A>", "<table>", "<|user|>", "<|end|> ", "<|endoftext|>  x", "<x>  ", "return",
    "fits",
)  # fmt: skip  # one fragment a line would be a page
SIGNS = (
    "~", "~abc", " ~x", "`a`", "$5", "€", "!a", "(x", "。", "、", "「", "，", "　", "\u1680", "\u2003x", "ㄱㄴ", "ㄅ",
    "가나", "ﬀ", "Ǆ", "ǅ", "ʰ", "\u0903", "১২৩", "Ⅷ", "²", "1234567", "12 345 6789", "IMGIMGAZ", "<sentinel:3>",
    "abc  ", "x\n\n y", "\r", "_a", "a_b", "#!/", "+=", "\x1c", "\x0b", "ſ", "K", "𐐀", "\ue000", "a\u200cb",
    "\u200d", "x\u0301",
)  # fmt: skip  # as above

few = random.Random(1)
SMALL = sorted({"".join(few.choices("abc▁\n", k=few.randint(1, 5))) for _ in range(150)})
LINES = [piece for piece in SMALL if "\n" not in piece] + ["\n" * number for number in range(1, 5)]
LARGE = pieces_of(PROSE, 3000)
TURNS = {"<start_of_turn>": (CONTROL, 0.0), "<end_of_turn>": (CONTROL, 0.0)}
GEMMA = {**TURNS, "\n\n": (USER_DEFINED, 0.0), "\n\n\n": (USER_DEFINED, 0.0), "▁▁": (USER_DEFINED, 0.0)}
GEMMA |= {"<table>": (USER_DEFINED, 0.0), "</s>x": (USER_DEFINED, 0.0)}
PHI_3 = {f"<|{name}|>": (CONTROL, 0.0) for name in ("user", "assistant", "system", "endoftext")}
PHI_3 |= {"<|end|>": (USER_DEFINED, 0.0), "<x> ": (USER_DEFINED, 0.0)}
TIES = {"<ab>": (USER_DEFINED, 0.0), "a▁": (USER_DEFINED, 0.0), "aa": (USER_DEFINED, -1.0), "<c>": (CONTROL, 0.0)}

VOCABULARIES: dict[str, dict[str, Any]] = {
    "all scores equal": scored(dict.fromkeys(SMALL, 0.0)),
    "three scores": scored({piece: -float(number % 3) for number, piece in enumerate(SMALL)}),
    "ties with special tokens": scored({piece: few.choice((-2, -1.5, -0.0, 0.0, 1e-3)) for piece in SMALL}, TIES),
    "whole numbers for scores": scored(ranked(SMALL)) | {"tokenizer.ggml.scores": Typed(INT32, [*range(-999, 0)])},
    "no prefix": scored(ranked(SMALL), add_space_prefix=False),
    "like gemma": scored(ranked(LARGE), GEMMA, add_space_prefix=False),
    "like llama 2": scored(ranked(LARGE), add_bos_token=True),
    "like phi 3": scored(ranked(LARGE), PHI_3, add_space_prefix=False) | {"general.name": "Phi-3 mini"},
    "phi 3 with prefix": scored(ranked(LARGE), PHI_3) | {"general.name": "my phi3"},
    "few merges": merged(LINES, special={"<t>": USER_DEFINED, "<|tool_response>": CONTROL}),
    "like gemma 4": merged(LARGE, special={"<turn|>": CONTROL, "<table>": USER_DEFINED}, add_bos_token=False),
    "gemma 4 by pre": merged(LARGE, model="gpt2", pre="gemma4"),
    "like sarvam": merged(LINES, model="gpt2", pre="sarvam-moe"),
}

Served = Callable[[Mapping[str, Any]], AbstractContextManager[tuple[Vocabulary, Engine]]]


@pytest.fixture
def served(tmp_path: Path) -> Served:
    """An engine with a tiny model that has the vocabulary, and the same vocabulary as it is read here."""

    @contextmanager
    def serve(vocabulary: Mapping[str, Any]) -> Iterator[tuple[Vocabulary, Engine]]:
        file = model_file(tmp_path, vocabulary)
        with running_engine(file) as engine:
            yield read_vocabulary(file), engine

    return serve


def model_file(folder: Path, vocabulary: Mapping[str, Any]) -> Path:
    tokens = vocabulary["tokenizer.ggml.tokens"]
    metadata, tensors = tiny_llama(len(getattr(tokens, "value", tokens)))
    return write_gguf(folder / "tiny.gguf", metadata | vocabulary, tensors)


def some_text(source: random.Random, fragments: tuple[str, ...]) -> str:
    either = (FRAGMENTS, fragments, fragments)
    return "".join(source.choice(source.choice(either)) for _ in range(source.randint(0, 25)))


def check(vocabulary: Vocabulary, engine: Engine, text: str) -> None:
    expected = engine.tokenize(text, add_special=False, parse_special=False)
    assert vocabulary.encode(text) == expected
    assert vocabulary.count(text) == len(expected)
    around = vocabulary.adds_bos + vocabulary.adds_eos
    rendered = engine.tokenize(text, add_special=True, parse_special=True)
    assert vocabulary.count_rendered(text) + around == len(rendered)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_sentencepiece_vocabularies_have_the_engines_own_ids(served: Served, name: str) -> None:
    source = random.Random(name)
    with served(VOCABULARIES[name]) as (vocabulary, engine):
        for _ in range(TEXTS):
            check(vocabulary, engine, some_text(source, ODD))
        words = PROSE.split(" ")
        for _ in range(50):
            check(vocabulary, engine, " ".join(source.choices(words, k=300)))


@pytest.mark.parametrize("pre", sorted(PRETOKENIZERS))
def test_words_are_cut_where_the_engine_cuts_them(served: Served, pre: str) -> None:
    source = random.Random(pre)
    with served(telltale("".join((*FRAGMENTS, *SIGNS)), pre=pre)) as (vocabulary, engine):
        for _ in range(TEXTS // 4):
            check(vocabulary, engine, some_text(source, SIGNS))


@pytest.fixture(scope="module")
def llama_2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Vocabulary, Engine]]:
    file = model_file(tmp_path_factory.mktemp("llama-2"), VOCABULARIES["like llama 2"])
    with running_engine(file) as engine:
        yield read_vocabulary(file), engine


@settings(max_examples=1500, deadline=None)
@given(st.text() | st.text("ab \n▁<s/>") | st.lists(st.sampled_from((*ODD, *FRAGMENTS))).map("".join))
def test_property_any_text_has_the_engines_own_ids(llama_2: tuple[Vocabulary, Engine], text: str) -> None:
    check(*llama_2, text)


@pytest.mark.parametrize(
    "text", [" " * 20_000, "a" * 20_000, "▁ " * 9_000 + "\n" * 9_000, "中" * 9_000, "ab<s>" * 5_000]
)
def test_long_runs_have_the_engines_own_ids(llama_2: tuple[Vocabulary, Engine], text: str) -> None:
    check(*llama_2, text)


GEMMA_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}{% set role = 'model' if message['role'] == 'assistant' "
    "else message['role'] %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
LLAMA_2_TEMPLATE = (
    "{% set system = messages[0]['content'] if messages[0]['role'] == 'system' else none %}"
    "{% for message in (messages[1:] if system is not none else messages) %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' }}"
    "{% if loop.first and system is not none %}{{ '<<SYS>>\n' + system + '\n<</SYS>>\n\n' }}{% endif %}"
    "{{ message['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
PHI_3_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
INSTRUCTION = {"[INST]": (CONTROL, 0.0), "[/INST]": (CONTROL, 0.0)}
CONVERSATIONS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "gemma": (GEMMA_TEMPLATE, VOCABULARIES["like gemma"], True),
    "gemma with prefix": (GEMMA_TEMPLATE, scored(ranked(LARGE), TURNS), True),
    "gemma with eos": (GEMMA_TEMPLATE, scored(ranked(LARGE), TURNS, add_eos_token=True), True),
    "llama 2": (LLAMA_2_TEMPLATE, VOCABULARIES["like llama 2"], False),
    "llama 2 without bos": (LLAMA_2_TEMPLATE, scored(ranked(LARGE), add_bos_token=False), False),
    "mistral": (MISTRAL_TEMPLATE, scored(ranked(LARGE)), False),
    "mistral v3": (MISTRAL_TEMPLATE, scored(ranked(LARGE), INSTRUCTION), False),
    "mistral with eos": (MISTRAL_TEMPLATE, scored(ranked(LARGE), add_eos_token=True), False),
    "phi 3": (PHI_3_TEMPLATE, VOCABULARIES["like phi 3"], True),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_conversations_have_the_engines_own_count(tmp_path: Path, name: str) -> None:
    template, vocabulary, additive = CONVERSATIONS[name]
    file = model_file(tmp_path, vocabulary | {"tokenizer.chat_template": template})
    counter = await choose_counter(None, "m", model_file=file, chat_template=template)
    assert (counter.source, counter.additive) == ("vocabulary", additive)
    source = random.Random(name)
    with running_engine(file) as engine:
        for _ in range(60):
            messages = random_conversation(source, frozenset(counter.markers))
            messages = messages if counter.accepts_system else [m for m in messages if m.role != "system"]
            expected = prompt_tokens(engine, messages)
            assert await counter.prompt(messages) == expected
            if additive:
                leading = await counter.pieces(messages[:1], leading=True)
                assert sum(leading + await counter.pieces(messages[1:], leading=False)) + counter.frame == expected


def prompt_tokens(engine: Engine, messages: list[SentMessage]) -> int:
    body = {"messages": [as_json(message) for message in messages]}
    count: int = engine.post("/v1/chat/completions/input_tokens", body)["input_tokens"]
    return count
