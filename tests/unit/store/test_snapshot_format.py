"""The bytes of a snapshot's file: what somebody has changed, or made up, is not taken for a snapshot."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from backports import zstd

from support.snapshot_values import everything, file_of, forged, forged_packed, header, snapshot, trees_of
from support.store_values import new_id
from ullage.store import snapshot_format
from ullage.store.snapshot_format import Damaged, decode, mentions, scan
from ullage.store.snapshot_records import SnapshotContent


def decoded(raw: bytes) -> SnapshotContent:
    file = io.BytesIO(raw)
    return decode(file, scan(file, len(raw)))


class TestDamage:
    def test_every_flipped_bit_is_found(self) -> None:
        made, content = snapshot(new_id(), everything())
        raw = bytearray(file_of(made, content))
        unnoticed = []
        for bit in range(len(raw) * 8):
            raw[bit // 8] ^= 1 << bit % 8
            try:
                decoded(bytes(raw))
                unnoticed.append(bit)
            except Damaged:
                pass
            raw[bit // 8] ^= 1 << bit % 8
        assert unnoticed == []

    @pytest.mark.parametrize("kept", [0, 1, 60, 300, -1])
    def test_a_file_that_was_cut_off_is_damaged(self, kept: int) -> None:
        raw = file_of(*snapshot(new_id()))
        with pytest.raises(Damaged):
            decoded(raw[:kept])


class TestForgeries:
    """The checksum is right, since whoever made the file has worked it out."""

    @pytest.mark.parametrize(
        "change",
        [
            {"id": "../../etc/passwd"},
            {"id": 5},
            {"contextId": None},
            {"createdAt": "yesterday"},
            {"createdAt": 1.5},
            {"tokens": -1},
            {"tokens": True},
            {"messages": 5},
            {"messages": 7},
            {"messages": 10**12},
            {"summary": ["x"]},
            {"summary": "x" * 2001},
            {"trigger": "whim"},
            {"trigger": {}},
            {"metadata": None},
            {"metadata": {"model": 1, "contextSize": 1, "compressionRatio": 1}},
            {"metadata": {"model": None, "contextSize": 1, "compressionRatio": -1}},
            {"metadata": {"model": None, "contextSize": 1}},
            {"more": 1},
            {"contentBytes": 10},
            {"contentBytes": 10**9},
            {"contentBytes": "much"},
            {"version": 0.5},
            {"format": "another"},
        ],
    )
    def test_a_header_of_another_shape_is_refused(self, change: dict[str, Any]) -> None:
        tree, lines = trees_of(*snapshot(new_id()))
        with pytest.raises(Damaged):
            decoded(forged({**tree, **change}, lines))

    @pytest.mark.parametrize(
        "change",
        [
            {"role": "developer"},
            {"role": ["user"]},
            {"content": None},
            {"content": 5},
            {"createdAt": 2**63},
            {"createdAt": None},
            {"id": "x"},
            {"name": 5},
            {"toolCalls": {}},
            {"toolCalls": [{"id": "1", "name": "n"}]},
            {"toolCalls": [{"id": "1", "name": "n", "arguments": {}}]},
            {"summaryOf": [1]},
            {"reasoning": False},
            {"unknown": 1},
        ],
    )
    def test_a_message_of_another_shape_is_refused(self, change: dict[str, Any]) -> None:
        tree, lines = trees_of(*snapshot(new_id()))
        lines[2] = {**lines[2], **change}
        with pytest.raises(Damaged):
            decoded(forged(tree, lines))

    def test_marks_of_messages_that_are_not_there_are_refused(self) -> None:
        tree, lines = trees_of(*snapshot(new_id()))
        lines[0]["pinned"] = [new_id()]
        with pytest.raises(Damaged):
            decoded(forged(tree, lines))

    def test_a_message_that_is_in_it_twice_is_refused(self) -> None:
        tree, lines = trees_of(*snapshot(new_id()))
        lines[2] = lines[1]
        with pytest.raises(Damaged):
            decoded(forged(tree, lines))

    @pytest.mark.parametrize("lines", [[], [5], [None, None], [[], "x"]])
    def test_a_content_of_something_else_is_refused(self, lines: list[Any]) -> None:
        tree, _ = trees_of(header(new_id()), SnapshotContent(()))
        with pytest.raises(Damaged):
            decoded(forged(tree, lines))

    @pytest.mark.parametrize("stated", [1000, 2**20])
    def test_a_decompression_bomb_is_stopped_where_it_passes_what_it_says(
        self, stated: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree, _ = trees_of(*snapshot(new_id()))
        raw = forged_packed({**tree, "contentBytes": stated}, bomb_of(2**30))
        assert len(raw) < 2**20
        unpacked = counted(monkeypatch)
        tracemalloc.start()
        with pytest.raises(Damaged):
            decoded(raw)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sum(unpacked) <= stated + snapshot_format.SLICE_BYTES
        assert peak < 6 * 2**20

    def test_a_bomb_that_is_searched_is_stopped_at_what_a_snapshot_may_hold(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(snapshot_format, "LARGEST_CONTENT_BYTES", 2**20)
        tree, _ = trees_of(*snapshot(new_id()))
        raw = forged_packed({**tree, "contentBytes": 1000}, bomb_of(2**30))
        unpacked = counted(monkeypatch)
        assert mentions(io.BytesIO(raw), len(raw), [new_id()]) is None
        assert sum(unpacked) <= 2**20

    @pytest.mark.parametrize(("window_log", "is_taken"), [(23, True), (24, False), (27, False)])
    def test_a_frame_that_asks_for_a_huge_window_is_refused(self, window_log: int, is_taken: bool) -> None:
        tree, lines = trees_of(*snapshot(new_id()))
        raw = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
        packed = packer.compress(raw) + packer.flush()
        file = forged_packed({**tree, "contentBytes": len(raw)}, packed)
        if is_taken:
            decoded(file)
        else:
            with pytest.raises(Damaged):
                decoded(file)

    def test_what_follows_the_content_is_refused(self) -> None:
        tree, lines = trees_of(*snapshot(new_id()))
        raw = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        with pytest.raises(Damaged):
            decoded(forged_packed({**tree, "contentBytes": len(raw)}, zstd.compress(raw) + b"more"))


def bomb_of(size: int) -> bytes:
    packer = zstd.ZstdCompressor()
    chunk = bytes(2**20)
    return b"".join(packer.compress(chunk) for _ in range(size // len(chunk))) + packer.flush()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all slices that are decompressed from now on."""
    sizes: list[int] = []
    real = snapshot_format._unpacked_freely

    def counting(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
        for piece in real(file, start, end):
            sizes.append(len(piece))
            yield piece

    monkeypatch.setattr(snapshot_format, "_unpacked_freely", counting)
    return sizes


class TestSearching:
    def test_an_id_is_found_also_where_a_slice_ends_within_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made, content = snapshot(new_id())
        raw = file_of(made, content)
        monkeypatch.setattr(snapshot_format, "SLICE_BYTES", 16)
        found = [mentions(io.BytesIO(raw), len(raw), [message.id]) for message in content.messages]
        assert found == [True] * 6
        assert mentions(io.BytesIO(raw), len(raw), [new_id()]) is False
