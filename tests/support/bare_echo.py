"""The floor for a round trip over stdio: a plain loop that reads a request and answers its params."""

from __future__ import annotations

import json
import sys


def main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while header := source.readline():
        length = int(header.split(b":")[1])
        source.readline()
        request = json.loads(source.read(length))
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": request["params"]}).encode()
        sink.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        sink.flush()


if __name__ == "__main__":
    main()
