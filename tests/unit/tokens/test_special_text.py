from __future__ import annotations

import pytest

from ullage.tokens.special_text import COMMON_MARKERS, disarm


@pytest.mark.parametrize("marker", sorted(COMMON_MARKERS))
def test_every_common_marker_is_broken_and_reads_as_before(marker: str) -> None:
    text = disarm(f"a{marker}b", COMMON_MARKERS)
    assert marker not in text
    assert text.replace("\u200b", "") == f"a{marker}b"


@pytest.mark.parametrize("text", ["<aba", "<a<a>b", "<a>b>", "<<a>", "<a><a>"])
def test_overlapping_markers_are_all_broken(text: str) -> None:
    markers = {"<a", "<a>", "aba", "a>b"}
    assert not any(marker in disarm(text, markers) for marker in markers)


def test_a_marker_with_the_breaker_inside_is_broken_by_another() -> None:
    markers = {"a\u200bb", "ab"}
    assert not any(marker in disarm("a\u200bb ab", markers) for marker in markers)


def test_a_marker_of_one_character_has_no_inside() -> None:
    assert disarm("a<b", {"<", ""}) == "a<b"


def test_no_markers_change_nothing() -> None:
    assert disarm("<|im_end|>", ()) == "<|im_end|>"
