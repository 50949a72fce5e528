"""What the embedded engine prints: the sizes of what it allocates, and its last words for whoever looks for a cause."""

from __future__ import annotations

import asyncio
import re

from attrs import Factory, define

from ullage.providers.base import Footprint

TAIL_BYTES = 8192
LONGEST_LINE_BYTES = 16384

_CHATTER = re.compile(rb"[\d.]{1,24} [DIT] ")
_LISTENING = re.compile(rb"listening on http")
_PREFIX = rb"^(?:[\d.]{1,24} [A-Z] )?\w{1,64}: "
_BUFFER = re.compile(
    _PREFIX + rb"\s{0,32}(\S{1,64})\s{1,32}(model|KV|RS|compute|output) buffer size\s{0,8}=\s{0,32}"
    rb"(\d{1,12}(?:\.\d{1,6})?) MiB"
)
_CACHE_TYPES = re.compile(_PREFIX + rb"size = .{1,200}?K \((\w{1,16})\):.{1,40}?V \((\w{1,16})\):")
_SLOTS = re.compile(_PREFIX + rb"n_seq_max\s{0,32}=\s{0,8}(\d{1,9})\s*$")
_FILE_MAPPED = "_Mapped"
_IN_RAM = ("CPU", "AMX", "BLAS")
_HOST_SUFFIX = "_Host"


@define
class EngineLog:
    """Takes the output in pieces of any length. Of the tail, which may hold paths, only warnings, errors and what bears
    no level is kept. ``listening`` is set when everything that is printed while loading has come."""

    listening: asyncio.Event = Factory(asyncio.Event)
    _tail: bytearray = Factory(bytearray)
    _rest: bytes = b""
    _in_chatter: bool = False
    _buffers: dict[tuple[str, str], int] = Factory(dict)
    _cache_types: tuple[str, str] | None = None
    _slots: int | None = None

    @property
    def tail(self) -> bytes:
        return bytes(self._tail)

    def take(self, part: bytes) -> None:
        *lines, rest = (self._rest + part).split(b"\n")
        self._rest = rest[-LONGEST_LINE_BYTES:]
        for line in lines:
            self._take_line(line)

    def end(self) -> None:
        """No more comes; a last line needs no end."""
        rest, self._rest = self._rest, b""
        if rest:
            self._take_line(rest)

    def footprint(self, file_bytes: int | None) -> Footprint | None:
        """The sums of what was printed, which has two decimals of MiB; None where no cache was printed.

        What is mapped is the span of the file from the first to the last tensor that stays in RAM, and may hold tensors
        that a card holds too: weights are never more than ``file_bytes``, the size of the model's file."""
        if not any(kind in ("KV", "RS") for _, kind in self._buffers):
            return None
        overlap = self._mapped_twice(file_bytes)
        on_cards = sum(size for (place, _), size in self._buffers.items() if not _in_ram(place))
        types = self._cache_types or (None, None)
        return Footprint(
            weights_bytes=self._sum("model") - overlap,
            cache_bytes=self._sum("KV", "RS"),
            compute_bytes=max((size for (_, kind), size in self._buffers.items() if kind == "compute"), default=0),
            gpu_bytes=on_cards,
            ram_bytes=sum(self._buffers.values()) - on_cards - overlap,
            cache_type_k=types[0],
            cache_type_v=types[1],
            slots=self._slots,
            measured=True,
        )

    def _take_line(self, line: bytes) -> None:
        self._in_chatter = _CHATTER.match(line) is not None or (self._in_chatter and line.startswith(b"\t"))
        if not self._in_chatter:
            self._tail += line + b"\n"
            del self._tail[:-TAIL_BYTES]
        if b"buffer size" in line:
            self._take_buffer(line)
        elif self._cache_types is None and (types := _CACHE_TYPES.search(line)):
            self._cache_types = types[1].decode(), types[2].decode()
        elif slots := _SLOTS.search(line):
            self._slots = int(slots[1])
        elif _LISTENING.search(line):
            self.listening.set()

    def _take_buffer(self, line: bytes) -> None:
        match = _BUFFER.search(line)
        if match is None:
            return
        place, kind = match[1].decode(errors="replace"), match[2].decode()
        size = round(float(match[3]) * 2**20)
        # A model with sliding windows has two caches, a sharded one several parts; a graph that is reserved again
        # replaces what it had.
        former = 0 if kind == "compute" else self._buffers.get((place, kind), 0)
        self._buffers[place, kind] = former + size

    def _sum(self, *kinds: str) -> int:
        return sum(size for (_, kind), size in self._buffers.items() if kind in kinds)

    def _mapped_twice(self, file_bytes: int | None) -> int:
        models = {place: size for (place, kind), size in self._buffers.items() if kind == "model"}
        mapped = sum(size for place, size in models.items() if _in_ram(place) and place.endswith(_FILE_MAPPED))
        return min(mapped, max(sum(models.values()) - file_bytes, 0)) if file_bytes else 0


def _in_ram(place: str) -> bool:
    """Whether a buffer is in the machine's own memory; cards are CUDA0, ROCm0, Vulkan0, MTL0, SYCL0 and so on."""
    return place.startswith(_IN_RAM) or place.endswith(_HOST_SUFFIX)
