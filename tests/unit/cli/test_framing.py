"""Frames on the client's side."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullage.cli.framing import LARGEST_BODY, Json, NotAFrame, framed, read_message


async def read_all(data: bytes) -> list[Json]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    messages: list[Json] = []
    while (message := await read_message(reader)) is not None:
        messages.append(message)
    return messages


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers(-(2**53), 2**53) | st.none()), max_size=5))
def test_property_60_what_is_framed_is_read_again(messages: list[Json]) -> None:
    assert asyncio.run(read_all(b"".join(framed(message) for message in messages))) == messages


async def test_a_header_may_have_more_lines_than_the_length() -> None:
    assert await read_all(b"Content-Type: x\r\ncontent-length: 2\r\n\r\n{}") == [{}]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"Traceback\r\n\r\n", id="no header"),
        pytest.param(b"Content-Length: two\r\n\r\n{}", id="no number"),
        pytest.param(b"Content-Length: %d\r\n\r\n" % (LARGEST_BODY + 1), id="too large"),
        pytest.param(b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", id="far too large"),
        pytest.param(b"Content-Length: 2\r\n\r\n[]", id="no object"),
        pytest.param(b"Content-Length: 2\r\n\r\n{{", id="no JSON"),
        pytest.param(b"x" * 100_000, id="an endless header"),
    ],
)
async def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(NotAFrame):
        await read_all(data)


@pytest.mark.parametrize("data", [b"", b"Content-Le", b"Content-Length: 20\r\n\r\n{"])
async def test_a_cut_message_is_the_end_of_input(data: bytes) -> None:
    assert await read_all(data) == []
