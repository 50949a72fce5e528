"""Whatever arrives, the parser gives whole bodies or one refusal, and finds the next frame."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.raw_client import frame
from ullage.lsp.framing import LARGEST_BODY, BadFrame, FrameParser, framed

GOOD = b'{"good":true}'


def parse(data: bytes, size: int | None = None) -> list[bytes | int]:
    """Bodies, and the codes of refusals, from data that comes in pieces of ``size`` bytes."""
    parser = FrameParser()
    step = size or max(len(data), 1)
    frames = [each for start in range(0, len(data), step) for each in parser.feed(data[start : start + step])]
    return [each.code if isinstance(each, BadFrame) else each for each in frames]


@given(st.lists(st.binary().map(lambda noise: b'{"' + noise.hex().encode() + b'":0}'), max_size=5), st.integers(1, 80))
@settings(max_examples=200)
def test_property_01_frames_come_out_as_they_went_in_however_they_are_cut(bodies: list[bytes], size: int) -> None:
    assert parse(b"".join(map(framed, bodies)), size) == bodies


@given(st.binary(max_size=400), st.integers(1, 100))
@settings(max_examples=300)
def test_property_02_a_good_frame_is_read_after_any_noise(noise: bytes, size: int) -> None:
    assert parse(noise + framed(GOOD) + framed(GOOD), size)[-1] == GOOD


@given(st.integers(1, 200), st.integers(1, 64))
@settings(max_examples=200)
def test_property_03_a_length_that_is_too_long_costs_only_its_own_frame(excess: int, size: int) -> None:
    lying = frame(b'{"lying":true}', len(b'{"lying":true}') + excess)
    assert parse(lying + framed(GOOD) * 10, size) == [-32700] + [GOOD] * 10


@given(st.integers(1, 13), st.integers(1, 64))
@settings(max_examples=100)
def test_property_04_a_length_that_is_too_short_costs_only_its_own_frame(lack: int, size: int) -> None:
    lying = frame(b'{"lying":true}', 14 - lack)
    cut, *rest = parse(lying + framed(GOOD), size)
    assert cut == b'{"lying":true}'[: 14 - lack]
    assert rest == [-32600, GOOD]


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: " + b"9" * 5000,
        b"Content-Length: 10000000000000",
        b"Content-Length: 100000000000000000000",
        b"Content-Length: -5",
        b"Content-Length: +5",
        b"Content-Length: 5.0",
        b"Content-Length: 0x10",
        b"Content-Length: five",
        b"Content-Length:",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Type: application/json",
        b"",
    ],
)
def test_a_header_without_one_length_is_refused_and_dropped(header: bytes) -> None:
    assert parse(header + b"\r\n\r\n" + b'{"lost":true}' + framed(GOOD)) == [-32600, GOOD]


@pytest.mark.parametrize(
    "header",
    [
        b"content-length: 13",
        b"CONTENT-LENGTH:13",
        b"Content-Length:\t13 ",
        b"Content-Length: 13\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 13",
        b"Content-Length: 13\r\nContent-Length: 13",
        b"Content-Length: 0013",
    ],
)
def test_a_header_may_be_spelled_as_http_allows(header: bytes) -> None:
    assert parse(header + b"\r\n\r\n" + GOOD, size=7) == [GOOD]


def test_a_header_that_never_ends_is_given_up() -> None:
    assert parse(b"Content-Length: " + b"9" * 100_000 + framed(GOOD), size=1000) == [-32600, GOOD]


def test_a_body_that_talks_of_headers_is_a_body() -> None:
    body = rb'{"text":"Content-Length: 5\r\n\r\n{}"}'
    assert parse(framed(body) + framed(GOOD)) == [body, GOOD]


def test_a_length_over_the_limit_is_refused_at_once_and_its_body_passed_over() -> None:
    parser = FrameParser()
    (refusal,) = parser.feed(b"Content-Length: %d\r\n\r\n" % (LARGEST_BODY + 1))
    assert isinstance(refusal, BadFrame)
    assert "67,108,865" in refusal.message
    piece = b" " * 2**20
    assert [parser.feed(piece) for _ in range(64)] == [[]] * 64
    assert parser.feed(b" " + framed(GOOD)) == [GOOD]


def test_what_is_passed_over_takes_no_memory() -> None:
    parser = FrameParser()
    parser.feed(b"Content-Length: %d\r\n\r\n" % (200 * 2**20))
    piece = b" " * 2**16
    tracemalloc.start()
    for _ in range(1600):
        parser.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_lie_about_a_body_over_the_limit_is_found_out_too() -> None:
    assert parse(frame(b"{}", 900 * 2**20) + framed(GOOD), size=11) == [-32600, GOOD]
