"""What holds for every request of the protocol before the server itself: answered, documented, and harmless."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio
from attrs import frozen

from support.archiving import PATIENCE_S
from support.params import fields, replaced, valid
from support.raw_client import RawClient, RpcError
from support.stub_servers import LlamaCppStub
from support.ullage_server import appended, opened, ullage, using, window_of, workspace
from ullage.lsp.handlers import Handlers
from ullage.lsp.results import RESULTS
from ullage.lsp.types import REQUESTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROTOCOL = Path(__file__).parents[2] / "PROTOCOL.md"
HOSTILE = (
    "", " ", "\x00", "../../etc/passwd", "/etc/passwd", "CON", "%s%n", "' OR 1=1 --", "{{7*7}}", "\x1b[2J", "\ud7ff",
    "é" * 26, "0" * 26, "x" * 100_000,
)  # fmt: skip  # a line each would be a page


@frozen
class There:
    """A server with one conversation that stays as it is, and one for a request to do its worst with."""

    client: RawClient
    kept: str

    async def params(self, method: str) -> dict[str, Any]:
        """Good ones, about things that there are."""
        context_id = await opened(self.client, "tried")
        said = await appended(self.client, context_id, "one", "two")
        known: dict[str, Any] = {
            "contextId": context_id,
            "messageId": said[0]["id"],
            "workspaceUri": workspace("tried"),
        }
        known |= {"contextIds": [context_id], "before": said[1]["id"], "line": "status", "query": "one"}
        if "snapshot" in method:
            known["snapshotId"] = (await self.client.request("context/snapshot/create", {"contextId": context_id}))[
                "id"
            ]
        good = valid(REQUESTS[method].params)
        return {key: known.get(key, value) for key, value in good.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def there(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[There]:
    async with LlamaCppStub() as server, ullage(tmp_path_factory.mktemp("requests"), using(server.url)) as client:
        kept = await opened(client, "kept")
        await appended(client, kept, "This stays.")
        await client.request("context/snapshot/create", {"contextId": kept})
        yield There(client, kept)


async def test_every_request_has_a_handler_a_result_and_its_line_in_the_document() -> None:
    nobody: Any = None
    handlers = Handlers(*[nobody] * len(attrs.fields(Handlers))).table()
    document = PROTOCOL.read_text(encoding="utf-8")
    assert handlers.keys() == RESULTS.keys() == REQUESTS.keys()
    assert [method for method in REQUESTS if f"| `{method}` |" not in document] == []


async def test_every_request_is_named_at_the_start(there: There) -> None:
    [told] = [answers[0]["result"] for answers in there.client.answers.values() if "serverInfo" in str(answers[0])]
    assert told["capabilities"]["experimental"]["ullage"]["requests"] == sorted(REQUESTS)


@pytest.mark.parametrize("method", REQUESTS)
async def test_without_params_it_is_answered_or_told_what_is_missing(there: There, method: str) -> None:
    required = [field for field in attrs.fields(REQUESTS[method].params) if field.default is attrs.NOTHING]
    if required:
        with pytest.raises(RpcError) as caught:
            await there.client.request(method, {})
        assert (caught.value.code, "path" in caught.value.data) == (-32602, True)
    elif method not in ("context/countTokens",):  # it wants one of two
        await there.client.request(method, {})


@pytest.mark.parametrize("method", REQUESTS)
async def test_a_hostile_text_in_any_field_is_answered_in_a_sentence_and_does_no_harm(
    there: There, method: str
) -> None:
    for path, hint, _ in fields(REQUESTS[method].params):
        if hint not in (str, str | None):
            continue
        good = await there.params(method)
        for text in HOSTILE:
            try:
                await there.client.request(method, replaced(good, path, text), timeout=PATIENCE_S)
            except RpcError as error:
                assert error.code in (-32602, -32803), (path, text[:20])
                assert error.message.endswith((".", ".)")), error.message
                assert len(error.message) < 500
                assert len(text) < 4 or text not in str(error)
    assert b"failed" not in there.client.stderr
    assert await window_of(there.client, there.kept) == ["This stays."]
    listed = await there.client.request("context/snapshot/list", {"contextId": there.kept})
    assert len(listed["snapshots"]) == 1
