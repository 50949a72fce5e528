"""Merging characters, and the vocabularies that do. The engine's own ids: tests/e2e/test_engine_vocabularies.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.gguf_writer import FLOAT32, INT32, Typed, write_gguf
from support.vocabularies import CONTROL, USER_DEFINED, merged, ranked, scored
from ullage.tokens.character_pairs import merge_few, merge_many
from ullage.tokens.gguf import GgufError
from ullage.tokens.pretokenizers import UnsupportedVocabulary
from ullage.tokens.text_encoder import CAPACITY, LONGEST_KEPT, PieceIds
from ullage.tokens.vocabulary import Vocabulary, read_vocabulary

Read = Callable[[Mapping[str, Any]], Vocabulary]
WORDS = ("▁t", "he", "▁the", "t", "h", "e", "▁")


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return lambda vocabulary: read_vocabulary(write_gguf(tmp_path / "model.gguf", vocabulary))


def spelt(vocabulary: Vocabulary, metadata: Mapping[str, Any], text: str) -> list[str]:
    tokens = metadata["tokenizer.ggml.tokens"]
    return [tokens[id_] for id_ in vocabulary.encode(text)]


@pytest.mark.parametrize("merge", [merge_few, merge_many])
@pytest.mark.parametrize(
    ("text", "ranks", "expected"),
    [
        ("abc", {"ab": 1, "bc": 0}, ["a", "bc"]),
        ("abc", {"ab": 0, "bc": 0}, ["ab", "c"]),
        ("aaaaa", {"aa": 0}, ["aa", "aa", "a"]),
        ("aaaaa", {"aa": 0, "aaa": 0}, ["aaa", "aa"]),
        ("abcd", {"ab": 2, "cd": 1, "abcd": 5}, ["abcd"]),
        ("abcd", {"abcd": 0}, ["a", "b", "c", "d"]),
        ("abcd", {"bc": 0, "ab": 1, "bcd": 2, "abc": 3}, ["a", "bcd"]),
        ("a", {}, ["a"]),
    ],
)
def test_the_best_pair_is_merged_first_and_of_equal_ones_the_left(
    merge: Callable[[str, Mapping[str, int], str], list[str]], text: str, ranks: dict[str, int], expected: list[str]
) -> None:
    assert merge(text, ranks, "") == expected


@pytest.mark.parametrize("merge", [merge_few, merge_many])
def test_with_merges_both_parts_must_be_the_named_ones(
    merge: Callable[[str, Mapping[str, int], str], list[str]],
) -> None:
    ranks = {"a b": 0, "b c": 1, "a bc": 2}
    assert merge("abc", ranks, " ") == ["ab", "c"]
    assert merge("abc", {"b c": 0, "a bc": 1}, " ") == ["abc"]


def test_blanks_become_letters_and_one_is_put_in_front(read: Read) -> None:
    metadata = scored(ranked(WORDS))
    assert spelt(read(metadata), metadata, "the the") == ["▁the", "▁the"]


def test_no_blank_is_put_in_front_where_the_file_says_so(read: Read) -> None:
    metadata = scored(ranked(WORDS), add_space_prefix=False)
    assert spelt(read(metadata), metadata, "the the") == ["t", "he", "▁the"]


def test_a_blank_is_put_behind_special_tokens_too(read: Read) -> None:
    metadata = scored(ranked(WORDS), {"<x>": (USER_DEFINED, 0.0)})
    assert spelt(read(metadata), metadata, "the<x>the") == ["▁the", "<x>", "▁the"]


def test_empty_text_is_no_token(read: Read) -> None:
    vocabulary = read(scored(ranked(WORDS)))
    assert (vocabulary.count(""), vocabulary.encode(""), vocabulary.count_rendered("")) == (0, [], 0)


def test_characters_that_are_no_tokens_become_their_bytes(read: Read) -> None:
    metadata = scored(ranked(WORDS), add_space_prefix=False)
    assert spelt(read(metadata), metadata, "é\x00") == ["<0xC3>", "<0xA9>", "<0x00>"]


def test_a_lone_surrogate_counts_as_the_replacement_character(read: Read) -> None:
    vocabulary = read(scored(ranked(WORDS)))
    assert vocabulary.encode("t\ud800h") == vocabulary.encode("t\ufffdh")


def test_a_byte_that_is_there_only_as_a_character_is_found(read: Read) -> None:
    metadata = scored({"a": 0.0}, add_space_prefix=False)
    tokens = metadata["tokenizer.ggml.tokens"]
    tokens[tokens.index("<0x7E>")] = "~"
    assert spelt(read(metadata), metadata, "~") == ["~"]


def test_plain_text_can_be_merged_into_a_control_token_but_is_not_read_as_one(read: Read) -> None:
    metadata = scored({"<": 0.0, "<c": 0.0, "<c>": 0.0}, {"[c]": (CONTROL, 0.0)}, add_space_prefix=False)
    vocabulary = read(metadata)
    assert spelt(vocabulary, metadata, "[c]<c>") == ["<0x5B>", "<0x63>", "<0x5D>", "<c>"]
    assert vocabulary.count_rendered("[c]") == 1


def test_text_longer_than_a_word_is_merged_alike(read: Read) -> None:
    vocabulary = read(scored(ranked(["ab", "abab", "a", "b"]), add_space_prefix=False))
    assert vocabulary.encode("ab" * 5_000) == vocabulary.encode("abab") * 2_500


def test_tokens_across_blanks_and_newlines_are_found(read: Read) -> None:
    pieces = ("a", "b", "\n", "▁", "a▁", "a▁b", "\n▁", "b\n", "b\n▁")
    metadata = scored(ranked(pieces), add_space_prefix=False)
    assert spelt(read(metadata), metadata, "a b\n ") == ["a▁b", "\n▁"]


def test_bos_and_eos_tokens_have_the_engines_defaults(read: Read) -> None:
    vocabulary = read(scored(ranked(WORDS)))
    assert (vocabulary.adds_bos, vocabulary.bos, vocabulary.adds_eos, vocabulary.eos) == (True, "<s>", False, "</s>")


def test_gemma_4_adds_a_bos_token_whatever_the_file_says(read: Read) -> None:
    assert read(merged(WORDS, add_bos_token=False)).adds_bos


def test_a_run_of_newlines_that_is_a_token_is_taken_whole(read: Read) -> None:
    metadata = merged(["\n", "\n\n", "\n\n\n\n\n"])
    assert spelt(read(metadata), metadata, "\n\n\n\n\n") == ["\n\n\n\n\n"]
    assert spelt(read(metadata), metadata, "\n\n\n") == ["\n\n", "\n"]


def test_what_merges_make_without_being_a_token_becomes_its_bytes(read: Read) -> None:
    metadata = merged(["a", "b", "ab"])
    tokens = metadata["tokenizer.ggml.tokens"]
    tokens[tokens.index("ab")] = "unheard of"
    assert spelt(read(metadata), metadata, "ab") == ["<0x61>", "<0x62>"]


def test_the_fingerprint_tells_scores_and_prefix_apart(read: Read) -> None:
    ways = [scored(ranked(WORDS)), scored(ranked(WORDS[::-1])), scored(ranked(WORDS), add_space_prefix=False)]
    assert len({read(metadata).fingerprint for metadata in ways}) == len(ways)


def test_blanks_behind_special_tokens_of_phi_3_are_no_text(read: Read) -> None:
    special = {"<|end|>": (CONTROL, 0.0), "<x>": (USER_DEFINED, 0.0), "<|endoftext|>": (CONTROL, 0.0)}
    plain, phi = (read(scored(ranked(WORDS), special) | {"general.name": name}) for name in ("a", "Phi-3 mini"))
    assert phi.count_rendered("<|end|> \n\tt<x>  ") == phi.count_rendered("<|end|>t<x>") == 3
    assert phi.count_rendered("<|endoftext|> t") == plain.count_rendered("<|endoftext|> t")
    assert phi.fingerprint != plain.fingerprint


def test_a_score_that_is_no_number_is_refused(read: Read) -> None:
    with pytest.raises(UnsupportedVocabulary, match="score"):
        read(scored({"a": float("nan")}))


def test_a_vocabulary_without_bytes_is_refused(read: Read) -> None:
    metadata = scored({"a": 0.0})
    metadata["tokenizer.ggml.tokens"] = [f"another {token}" for token in metadata["tokenizer.ggml.tokens"]]
    with pytest.raises(UnsupportedVocabulary, match="bytes"):
        read(metadata)


@pytest.mark.parametrize("key", ["scores", "token_type"])
def test_lists_that_are_too_short_are_damage(read: Read, key: str) -> None:
    with pytest.raises(GgufError, match=key):
        read(scored(ranked(WORDS)) | {f"tokenizer.ggml.{key}": Typed(FLOAT32 if key == "scores" else INT32, [1])})


def test_without_scores_the_left_pair_is_merged_first(read: Read) -> None:
    metadata = scored(ranked(["bc", "ab", "a", "b", "c"]), add_space_prefix=False)
    del metadata["tokenizer.ggml.scores"]
    assert spelt(read(metadata), metadata, "abc") == ["ab", "c"]


def test_pieces_are_kept_as_long_as_there_is_room() -> None:
    asked: list[str] = []

    def encode(piece: str) -> list[int]:
        asked.append(piece)
        return [len(piece)]

    pieces = PieceIds(encode)
    long = "x" * (LONGEST_KEPT + 1)
    assert pieces.encode(["a", "a", long, long]) == [1, 1, len(long), len(long)]
    assert asked == ["a", long, long]
    pieces.count([str(number) for number in range(CAPACITY + 10)])
    assert len(pieces) <= CAPACITY
