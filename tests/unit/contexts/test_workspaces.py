"""Which spellings of a URI name the same folder."""

from __future__ import annotations

import pytest

from ullage.contexts.workspaces import moved, normalise_uri
from ullage.errors import InvalidArgument


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///home/me/project/", "file:///home/me/project"),
        ("FILE:///home/me", "file:///home/me"),
        ("file:///C%3A/code", "file:///c:/code"),
        ("file:///home/a%20b", "file:///home/a b"),
        ("file:///home/%c3%a9", "file:///home/é"),
        ("file:///home/a%2Bb", "file:///home/a+b"),
        ("file://Server/share", "file://server/share"),
        ("file:///home/x%2fy", "file:///home/x%2Fy"),
        ("file:///home/%ff", "file:///home/%FF"),
    ],
)
def test_spellings_of_one_folder_become_one(one: str, other: str) -> None:
    assert normalise_uri(one) == normalise_uri(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///home/a%FF", "file:///home/a%FE"),
        ("file:///home/x%2Fy", "file:///home/x/y"),
        ("file:///home/x%252Fy", "file:///home/x%2Fy"),
        ("file:///home/C#one", "file:///home/C#two"),
        ("file:///home/C#one", "file:///home/C%23one"),
        ("file:///home/a?b", "file:///home/a%3Fb"),
        ("file:///home/a?b", "file:///home/a?c"),
        ("file:///home/a%0Ab", "file:///home/ab"),
        ("file:///home/a%2F", "file:///home/a"),
        ("file:///home/A", "file:///home/a"),
        ("file:///home/a%00", "file:///home/a%01"),
    ],
)
def test_different_folders_stay_apart(one: str, other: str) -> None:
    def spelled(uri: str) -> str | None:
        try:
            return normalise_uri(uri)
        except InvalidArgument:
            return None

    assert spelled(one) != spelled(other)


@pytest.mark.parametrize("uri", ["file:///a%FFb", "file:///x%2fy/z", "file:///C:/a b", "file:///a?b%2f#c%20", "u:a"])
def test_a_normal_form_is_its_own(uri: str) -> None:
    assert normalise_uri(normalise_uri(uri)) == normalise_uri(uri)


@pytest.mark.parametrize(
    "uri",
    ["", "project", "/home/me", "file:///a\nb", "file:///a\tb", "file:///a\x7fb", "file:///a%00b", "file:///\ud800"],
)
def test_what_names_no_folder_is_refused_by_its_path(uri: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        normalise_uri(uri, "oldUri")
    assert caught.value.path == "oldUri"


def test_what_lies_in_a_folder_moves_with_it() -> None:
    assert moved("file:///a/b", "file:///a", "file:///c") == "file:///c/b"
    assert moved("file:///a", "file:///a", "file:///c") == "file:///c"
    assert moved("file:///ab", "file:///a", "file:///c") is None
