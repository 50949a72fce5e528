"""The floor for a round trip over stdio: a plain loop that reads a frame and writes it back."""

from __future__ import annotations

import sys


def main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while header := source.readline():
        length = int(header.split(b":")[1])
        source.readline()
        body = source.read(length)
        sink.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        sink.flush()


if __name__ == "__main__":
    main()
