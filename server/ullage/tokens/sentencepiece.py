"""SentencePiece vocabularies as GGUF files carry them: tokens with scores or merges, and bytes as ``<0x0A>``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ullage.tokens.character_pairs import CharacterPairEncoder
from ullage.tokens.pretokenizers import UnsupportedVocabulary

_BYTES_OF_UTF_8 = (*range(0xC0), *range(0xC2, 0xF5))


def scored_encoder(ids: Mapping[str, int], scores: Sequence[float], *, space_prefix: bool) -> CharacterPairEncoder:
    """``scores`` by id, the best the highest. Raises UnsupportedVocabulary where the engine itself would fail on some
    texts."""
    if any(map(math.isnan, scores)):
        raise UnsupportedVocabulary("a token's score is not a number")
    byte_ids = _byte_ids(ids)
    byte_ids |= {byte: ids[chr(byte)] for byte in range(1, 0x80) if byte not in byte_ids and chr(byte) in ids}
    if any(byte not in byte_ids for byte in _BYTES_OF_UTF_8):
        raise UnsupportedVocabulary("it has no tokens for some bytes")
    order = {score: rank for rank, score in enumerate(sorted(set(scores), reverse=True))}
    ranks = {text: order[scores[id_]] for text, id_ in ids.items() if len(text) > 1}
    return CharacterPairEncoder(ids, ranks, ranks, byte_ids, prefix=" " if space_prefix else "")


def merged_encoder(ids: Mapping[str, int], merges: Sequence[bytes], *, whole_newlines: bool) -> CharacterPairEncoder:
    """``merges`` are pairs with a blank in between, the best first. ``whole_newlines``: a run of newlines that is a
    token is taken whole."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge.decode(errors="replace"), rank)
    makes = (pair.replace(" ", "") for pair in ranks)
    return CharacterPairEncoder(
        ids, ranks, makes, _byte_ids(ids), separator=" ", lines=True, whole_newlines=whole_newlines
    )


def _byte_ids(ids: Mapping[str, int]) -> dict[int, int]:
    names = ((byte, f"<0x{byte:02X}>") for byte in range(0x100))
    return {byte: ids[name] for byte, name in names if name in ids}
