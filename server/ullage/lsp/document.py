"""Writes PROTOCOL.md from the protocol's types: ``python -m ullage.lsp.document [--check] PROTOCOL.md``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ullage import errors
from ullage.generated import write_or_check
from ullage.lsp.framing import LARGEST_BODY, LARGEST_DRAINED, LARGEST_HEADER
from ullage.lsp.results import NOTIFICATIONS, PARTIAL_RESULT, RESULTS, NotificationType
from ullage.lsp.types import REQUESTS, RequestType
from ullage.lsp.typescript import alias, interface, mentioned, prose, spelled

MEBIBYTE = 2**20

INTRODUCTION = """\
# Protocol

<!-- Written by `make format` from server/ullage/lsp; change the types there. -->

What the server and its clients say to each other: JSON-RPC 2.0 in the framing of the Language Server Protocol 3.17,
over standard input and output. Beside the standard messages there are the requests and notifications below.

Names are camelCase. Sizes are bytes, times are milliseconds since the epoch, durations are milliseconds (`…Ms`), counts
are tokens. An unknown quantity is `null`, never 0. Ids of contexts, messages, operations and snapshots are ULIDs:
26 characters that sort by the time of their making.

Types are written as TypeScript, with `integer` for a whole number of at most 2^53 - 1 in size. A field with a
question mark may be left out; nothing is `null`, in either direction, unless its type says so.
"""

BEGINNING = """\
## Beginning and end

`initialize` comes first and once. Its `initializationOptions` are the settings tree, with the same keys as the editor's
settings. The reply's `capabilities.experimental.ullage` is `{version, requests}`, the latter naming every request below
that this server answers. Where the client says that it can answer `workspace/configuration`, the server asks for the
section `ullage` after `initialized`, and follows `workspace/didChangeConfiguration`,
`workspace/didChangeWorkspaceFolders` and, for folders, `workspace/didRenameFiles`. Documents are not synchronised.

`shutdown` cancels what is being answered and is replied to within two seconds. After `exit`, the end of input or the
end of the process named in `initialize`, the server ends: with exit code 0 after a `shutdown`, otherwise with 1.
"""

CANCELLING = """\
## Cancelling and streaming

`$/cancelRequest` cancels a request: it is answered with -32800, and nothing has changed. `context/chat` and
`context/complete` answer so before the first token (what the person said stays, pending) and after it with the
result of what has come, `stopReason: "cancelled"`. Every request is answered exactly once.

With a `partialResultToken`, pieces of the answer come as `$/progress` notifications with `{token, value}`, the value
being a `%s`. The result holds the whole answer all the same.
"""

RULES = f"""\
## What is refused

| code | when |
|---|---|
| -32700 | the body is not valid JSON in UTF-8: also NaN, lone surrogates, more than 1,024 levels, a wrong length |
| -32600 | the message is no object, a batch, or has no `"jsonrpc": "2.0"`; the method is no string; the id is null, \
a fraction or a boolean, or that of a request which is being answered; a second `initialize`; anything after \
`shutdown`; a frame's header without one decimal `Content-Length`; a body over {LARGEST_BODY // MEBIBYTE} MiB |
| -32601 | the server knows no such request |
| -32602 | params do not fit their type; `data.path` names the first field that does not, as in `messages[0].role` |
| -32002 | a request before `initialize` |
| -32800 | the request was cancelled |
| -32803 | the request was understood and could not be done; `data.kind` says why |
| -32603 | a defect of the server, which logs where; the error holds nothing else |

- A readable id is echoed in every error; otherwise the error's id is `null`.
- Nothing is coerced: a number is not a string, `true` is not 1, 1.0 is not an `integer`; an `integer` will do for a
  `number`. Unknown fields are ignored. Params that are missing or `null` are read as `{{}}`.
- An object of any form (such as a tool's `parameters`) nests at most 100 levels.
- Notifications are never answered: one that is malformed, unknown, or comes before `initialize` is passed over.
- After a bad frame the next one is read. A body over {LARGEST_BODY // MEBIBYTE} MiB is passed over as it comes. \
A length over {LARGEST_DRAINED // 2**30} GiB, or one that is no length, drops the header, and reading goes on at the \
next `Content-Length:`; a header is at most {LARGEST_HEADER // 1024} KiB. A header inside of a body proves that the \
body's length was wrong: that frame is refused, and the next begins there.
- A client that leaves 256 MiB unread has lost its server.
"""


def main(arguments: list[str]) -> int:
    return write_or_check(arguments, "ullage.lsp.document", lambda _: document())


def document() -> str:
    """The whole of PROTOCOL.md."""
    params = _ordered(request.params for request in REQUESTS.values())
    results = _ordered(RESULTS.values())
    told = _ordered([*(note.params for note in NOTIFICATIONS.values()), PARTIAL_RESULT])
    results = [kind for kind in results if kind not in params]
    told = [kind for kind in told if kind not in params and kind not in results]
    sections = [
        INTRODUCTION,
        BEGINNING,
        "## Requests\n\n" + _table(REQUESTS, "request") + "\n",
        "## Params\n\n" + _types(params),
        "## Results\n\n" + _types(results),
        "## Notifications from the server\n\n" + _table(NOTIFICATIONS, "notification") + "\n\n" + _types(told),
        CANCELLING % PARTIAL_RESULT.__name__,
        RULES,
        _kinds(),
    ]
    return "\n".join(sections)


def _ordered(kinds: Iterable[Any]) -> list[Any]:
    """What the types are made of, each once, in the order of first mention."""
    return list(dict.fromkeys(inner for kind in kinds if kind for inner in mentioned(kind)))


def _types(kinds: list[Any]) -> str:
    aliases = [alias(kind) for kind in kinds if not attrs.has(kind)]
    interfaces = [interface(kind) for kind in kinds if attrs.has(kind) and attrs.fields(kind)]
    return "```ts\n" + "\n\n".join(["\n".join(aliases), *interfaces]).strip() + "\n```\n"


def _table(messages: Mapping[str, RequestType | NotificationType], title: str) -> str:
    has_results = title == "request"
    rows = [[title, "params", *(["result"] if has_results else []), "for what"]]
    rows.append(["---"] * len(rows[0]))
    for method, kinds in messages.items():
        params = f"`{spelled(kinds.params)}`" if attrs.fields(kinds.params) else "`{}`"
        kind = RESULTS.get(method)
        result = [f"`{spelled(kind)}`" if kind else "`null`"] if has_results else []
        rows.append([f"`{method}`", params, *result, kinds.purpose])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _kinds() -> str:
    """The table of error kinds, from the hierarchy that the errors' module draws."""
    rows = ["| `data.kind` | when | beside it in `data` |", "|---|---|---|"]
    for name, meaning in re.findall(r"── (\w+) +(.+)", errors.__doc__ or ""):
        kind: type[errors.UllageError] = getattr(errors, name)
        if kind is not errors.InvalidArgument and "kind" in kind.__dict__:
            rows.append(f"| `{kind.kind}` | {prose(meaning)} | {prose(kind.__dict__.get('__doc__') or '')} |")
    introduction = "The kinds of -32803. A message is a sentence for a person and says what to do next.\n\n"
    return "## Kinds of failure\n\n" + introduction + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
