"""Vocabularies out of GGUF files. What the engine itself says of them is in tests/e2e/test_engine_counts.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.gguf_writer import INT32, STRING, Typed, byte_letters, byte_level_vocabulary, write_gguf
from ullage.tokens.byte_pairs import STRIDE, cut, has_long_blank_run
from ullage.tokens.gguf import GgufError
from ullage.tokens.pretokenizers import PRETOKENIZERS, UnsupportedVocabulary
from ullage.tokens.vocabulary import Vocabulary, read_vocabulary

BY_TIKTOKEN = {name: rule.patterns[0] for name, rule in PRETOKENIZERS.items() if len(rule.patterns) == 1}
ONE_OF_EACH_FAMILY = sorted({pattern: name for name, pattern in BY_TIKTOKEN.items()}.values())
SPECIAL = {"<|im_start|>": 3, "<|im_end|>": 3, "<tool>": 4, "<tool>s": 4, "<unk>": 2}


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def read(words: tuple[str, ...] = ("the", "Ġthe"), pre: str = "smollm", **changes: Any) -> Vocabulary:
        special, missing = changes.pop("special", SPECIAL), changes.pop("missing", ())
        metadata = byte_level_vocabulary(words, pre=pre, special=special, missing=missing)
        return read_vocabulary(write_gguf(tmp_path / "model.gguf", metadata | changes))

    return read


def test_merges_are_followed(make: Any) -> None:
    vocabulary = make()
    assert vocabulary.count("the the them") == 4
    assert vocabulary.encode("the") == [258 - 1]


def test_control_text_is_read_only_in_rendered_text(make: Any) -> None:
    vocabulary = make()
    assert vocabulary.count_rendered("<|im_start|>the<unk>") == 3
    assert vocabulary.count("<|im_start|>the<unk>") == len("<|im_start|>") + 1 + len("<unk>")


def test_user_defined_text_is_read_always_the_longest_first(make: Any) -> None:
    assert make().count("<tool>s<tool>") == 2


def test_what_must_be_disarmed_is_what_only_the_template_may_write(make: Any) -> None:
    assert make().special_texts == {"<|im_start|>", "<|im_end|>", "<unk>"}


def test_tokens_that_llama_cpp_takes_for_control_by_name_are_control_here(make: Any) -> None:
    vocabulary = make(special={"<|endoftext|>": 1, "<|fim_prefix|>": 4, "<PAD>": 1})
    assert vocabulary.special_texts == {"<|endoftext|>", "<|fim_prefix|>", "<PAD>"}


def test_a_purpose_that_the_file_names_itself_changes_no_types(make: Any) -> None:
    vocabulary = make(special={"<|fim_prefix|>": 4}, **{"tokenizer.ggml.fim_pre_token_id": 0})
    assert vocabulary.count("<|fim_prefix|>") == 1


def test_the_markers_of_harmony_are_live_in_plain_text_and_so_are_to_be_disarmed(make: Any) -> None:
    vocabulary = make(special={"<|start|>": 3, "<|end|>": 3, "<|return|>": 3, "<|call|>": 3})
    assert vocabulary.count("<|start|>the<|end|>") == 3
    assert {"<|start|>", "<|end|>"} <= vocabulary.special_texts


def test_bytes_that_the_vocabulary_lacks_are_no_tokens(make: Any) -> None:
    vocabulary = make(missing=(4, 0xF0))
    assert vocabulary.count("a\x04b") == 2
    assert vocabulary.count("\x04") == 0
    assert len(vocabulary.encode("😀the")) == vocabulary.count("😀the") == 4


@pytest.mark.parametrize("pre", ONE_OF_EACH_FAMILY)
def test_more_blanks_than_the_pattern_engine_takes_are_counted_as_fewer_are(make: Any, pre: str) -> None:
    vocabulary = make(("ĠĠ", "ĠĠĠĠ", "the"), pre)
    pattern = BY_TIKTOKEN[pre]
    for text in (" " * 1_200_000, "the!" + "\t " * 600_000 + "\n \tthe", "7" + "\n" * 1_200_000 + " 7"):
        pieces = cut(text, pattern)
        assert "".join(pieces) == text
        assert vocabulary.count(text) == sum(
            len(vocabulary._encoder._pairs._pieces.encode_ordinary(piece)) for piece in pieces
        )


@pytest.mark.parametrize("pre", sorted(BY_TIKTOKEN))
def test_both_engines_cut_alike(make: Any, pre: str) -> None:
    text = "Don't STOP i'LL  naïve Éß e\u0301 中文\r\n\r\n  \t12345 ½!!\n/\n\n x\u00a0\u3000y हिन्दी 😀... "
    encoder = make(pre=pre)._encoder._pairs
    pieces = cut(text, BY_TIKTOKEN[pre])
    assert [r for piece in pieces for r in encoder._pieces.encode_ordinary(piece)] == encoder.encode(text)


@pytest.mark.parametrize("blanks", [STRIDE * 2, STRIDE * 3 + 7])
@pytest.mark.parametrize("before", [0, 1, STRIDE - 1, STRIDE + 5])
def test_a_long_run_of_blanks_is_seen_wherever_it_begins(blanks: int, before: int) -> None:
    assert has_long_blank_run("x" * before + " " * blanks + "x" * 9)
    assert not has_long_blank_run(("x" * 99 + " " * 999) * 1000)


@pytest.mark.parametrize(
    ("pre", "text", "words"),
    [
        ("deepseek-v3", "ab12345 中文x!!\n\n  y", ["ab", "123", "45", " ", "中文", "x", "!!\n\n", " ", " y"]),
        ("deepseek-llm", " ab\n12 。x", [" ab", "\n", "12", " ", "。", "x"]),
        ("falcon", "a$b 12345", ["a", "$", "b", " ", "123", "45"]),
        ("default", "a$b 12345", ["a", "$", "b", " ", "123", "45"]),
        ("superbpe", "a b1234567c d", ["a b", "1", "234", "567", "c d"]),
        ("afmoe", "a 1234567b", ["a", " ", "1", "234", "567", "b"]),
        ("bloom", "a b, c!", ["a", " b", ",", " c", "!"]),
        ("laguna", "a\n \n b", ["a", "\n", " ", "\n", " b"]),
    ],
)
def test_several_patterns_cut_one_after_another(pre: str, text: str, words: list[str]) -> None:
    assert cut(text, *PRETOKENIZERS[pre].patterns)[: len(words)] == words


@pytest.mark.parametrize("pre", ["deepseek-v3", "default", "youtu"])
def test_words_of_several_patterns_are_merged(make: Any, pre: str) -> None:
    vocabulary = make(pre=pre)
    assert vocabulary.encode("the the") == vocabulary.encode("the") + vocabulary.encode(" the")
    assert vocabulary.count("the 1 the\ud800\U0001f600") == len(vocabulary.encode("the 1 the\ufffd\U0001f600"))


def test_a_file_without_a_name_for_its_patterns_has_the_default_ones(make: Any) -> None:
    text = "a+b 1234 ,the"
    assert make(pre="").encode(text) == make(pre="default").encode(text)


def test_an_eos_token_is_added_where_the_file_says_so(make: Any) -> None:
    named = {"tokenizer.ggml.eos_token_id": 0}
    assert make(**named, **{"tokenizer.ggml.add_eos_token": True}).adds_eos
    assert not make(**named).adds_eos
    assert not make(**{"tokenizer.ggml.add_eos_token": True}).adds_eos


def test_a_lone_surrogate_counts_as_the_replacement_character(make: Any) -> None:
    assert make().count("a\ud800b") == make().count("a\ufffdb")


def test_a_token_without_merges_counts_only_as_a_whole_word_and_only_where_the_family_says_so(make: Any) -> None:
    special = {"zebra": 1}
    assert make(pre="llama-bpe", special=special).encode("zebra") != make(special=special).encode("zebra")
    assert make(pre="llama-bpe", special=special).count("zebra") == 1
    assert make(pre="llama-bpe", special=special).count("zebras") == 6


def test_a_whole_word_that_merging_would_make_wrongly_is_refused(make: Any) -> None:
    with pytest.raises(UnsupportedVocabulary, match="put together"):
        make(("he", "th"), "llama-bpe", special={"thhe": 1})


def test_a_word_that_the_pattern_never_gives_is_no_obstacle(make: Any) -> None:
    assert make(("he",), "llama-bpe", special={"he>": 3}).count("he>") == 2


@pytest.mark.parametrize(("stated", "expected"), [(None, True), (False, False), (True, True)])
def test_whether_a_bos_token_is_added_is_the_files_to_say(make: Any, stated: bool | None, expected: bool) -> None:
    changes = {} if stated is None else {"tokenizer.ggml.add_bos_token": stated}
    vocabulary = make(pre="llama-bpe", **changes, **{"tokenizer.ggml.bos_token_id": 0})
    assert (vocabulary.adds_bos, vocabulary.bos) == (expected, byte_letters()[0])


def test_no_bos_token_is_added_where_there_is_none(make: Any) -> None:
    assert not make(pre="llama-bpe").adds_bos


def test_the_fingerprint_is_the_tokenizers_and_not_the_files(make: Any) -> None:
    same = {make(**{"general.name": name}).fingerprint for name in ("a", "b")}
    assert len(same) == 1
    assert same.isdisjoint({make(pre="qwen2").fingerprint, make(("them",)).fingerprint, make(special={}).fingerprint})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer.ggml.model": "bert"}, "'bert'"),
        ({"tokenizer.ggml.pre": "another"}, "'another'"),
        ({"tokenizer.ggml.merges": Typed(STRING, ["a b"])}, "no token"),
        (
            {"tokenizer.ggml.tokens": Typed(STRING, ["a", "a"]), "tokenizer.ggml.token_type": Typed(INT32, [1, 1])},
            "twice",
        ),
    ],
)
def test_what_can_not_be_rebuilt_is_refused_by_name(make: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedVocabulary, match=message):
        make(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer.ggml.token_type": Typed(INT32, [1])},
        {"tokenizer.ggml.tokens": Typed(STRING, [b"\xff"]), "tokenizer.ggml.token_type": Typed(INT32, [1])},
        {"tokenizer.ggml.pre": 7},
    ],
)
def test_damage_is_told_as_such(make: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(GgufError, match="tokenizer"):
        make(**changes)


def test_merges_that_say_nothing_are_passed_over(make: Any) -> None:
    vocabulary = make(**{"tokenizer.ggml.merges": Typed(STRING, ["", " ", "ab", "t h", b"\xff \xff"])}, words=("th",))
    assert vocabulary.count("th") == 1


def test_of_two_merges_that_make_the_same_the_first_counts(make: Any) -> None:
    vocabulary = make(("ab", "bc"), **{"tokenizer.ggml.merges": Typed(STRING, ["a b", "b c", "a b"])})
    assert vocabulary.encode("abc") == vocabulary.encode("ab") + vocabulary.encode("c")
