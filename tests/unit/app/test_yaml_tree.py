"""What a settings file's YAML stands for, and where reading ends."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any

import pytest
import yaml

from ullage.app.yaml_tree import MOST_LEVELS, MOST_NODES, NotATree, tree_of


@pytest.fixture(params=["with libyaml", "without libyaml"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without libyaml":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("# nothing but a comment\n", None),
        ("context: {targetSize: 16384, autoSize: off}", {"context": {"targetSize": 16384, "autoSize": False}}),
        ("a: yes\nb: 'yes'\nc: \"1\"\nd: 1", {"a": True, "b": "yes", "c": "1", "d": 1}),
        ("a:\nb: ~\nc: null", {"a": None, "b": None, "c": None}),
        ("a: 0.5\nb: 1e3\nc: -.5\nd: +7", {"a": 0.5, "b": 1000.0, "c": -0.5, "d": 7}),
        (
            "a: 1.2.3\nb: 12:30:45\nc: 2020-01-01\nd: 0x10",
            {"a": "1.2.3", "b": "12:30:45", "c": "2020-01-01", "d": "0x10"},
        ),
        ("1: x\nyes: y", {"1": "x", "yes": "y"}),
        ("a: [1, [x, 2], {b: 3}]", {"a": [1, ["x", 2], {"b": 3}]}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("\ufeffa: ü", {"a": "ü"}),
        ("words", "words"),
        ("- a list", ["a list"]),
        ("a: " + "9" * 18, {"a": 10**18 - 1}),
    ],
)
@pytest.mark.usefixtures("parser")
def test_a_document_is_read_as_people_write_it(text: str, tree: Any) -> None:
    assert tree_of(text.encode()) == tree


def test_a_number_of_more_digits_than_any_setting_takes_is_read_at_once() -> None:
    assert tree_of(b"a: " + b"9" * 500_000) == {"a": math.inf}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: &x 1\nb: *x", "line 1: anchors and aliases are not read"),
        (b"a: *x", "line 1: anchors and aliases are not read"),
        (b"a: &a [*a]", "anchors and aliases"),
        (b"a: 1\nb: !!python/object:os.system x", "line 2: tags"),
        (b"a: !x {b: 1}", "line 1: tags"),
        (b"a: 1\nb: 2\na: 3", "line 3: “a” is there a second time".encode()),
        (b"a: 1\n---\nb: 2", "line 2: a second document"),
        (b"? [a, b]\n: 1", "line 1: a key must be text"),
        (b"? {a: b}\n: 1", "line 1: a key must be text"),
        (b"a: 1\nb: [", "not valid YAML, line "),
        (b"a: 1\n\tb: 2", "not valid YAML, line 2"),
        (b"\xff\xfea", "not valid YAML, which is text in UTF-8"),
        (b"a: \x00", "not valid YAML"),
        (b'a: "\\UFFFFFFFF"', "not valid YAML"),
        (b"[" * (MOST_LEVELS + 1), "more than 16 levels"),
        (b"a: [" + b"1," * MOST_NODES + b"]", "more than 20,000 values"),
    ],
)
@pytest.mark.usefixtures("parser")
def test_what_is_no_plain_tree_is_refused_in_a_sentence(content: bytes, reason: str | bytes) -> None:
    with pytest.raises(NotATree) as refused:
        tree_of(content)
    assert (reason.decode() if isinstance(reason, bytes) else reason) in str(refused.value)


def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 30)]
    with pytest.raises(NotATree, match="line 1"):
        tree_of("\n".join(lines).encode())


@pytest.mark.parametrize(
    "content", [b"[" * 2**20, b"{a: " * 2**18, b"- " * 2**19, b"a: 1:" + b"1:" * 2**19, b"? " * 2**19]
)
def test_a_mebibyte_of_anything_takes_little_time(content: bytes) -> None:
    began = time.process_time()
    with suppress(NotATree):
        tree_of(content)
    assert time.process_time() - began < 2
