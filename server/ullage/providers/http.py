"""The one place where HTTP is spoken: connections to a model server, bounded reads, and errors in a person's words."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

import orjson
from attrs import define, field, frozen

from ullage.errors import ProviderError, ProviderUnavailable
from ullage.providers.failures import refusal
from ullage.providers.json_reply import Json

if TYPE_CHECKING:
    import httpx

ApiKey = Callable[[], str | None]

CONNECT_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 2.0
REPLY_TIMEOUT_S = 2.0
"""For everything but an answer: who counts or lists has other means, and a person is waiting meanwhile."""

LOADING_TIMEOUT_S = 300.0
"""For requests that make a server load a model."""

LARGEST_REPLY_BYTES = 64 << 20
LARGEST_REFUSAL_BYTES = 1 << 20
ABSENT_STATUSES = (404, 405, 501)
"""What servers answer to an endpoint that they don't have."""
_BROKEN = SplitResult("", "", "", "", "")


@frozen
class Address:
    """Where a server is: ``url`` has neither credentials nor query, so it may be shown; ``credentials`` never are."""

    url: str
    credentials: tuple[str, str] | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this machine. Requests to it never go through a proxy from the environment."""
        host = _split(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def parse_address(url: str) -> Address:
    """Take a URL apart; a broken one is kept as it is, without what could be a password, and fails when it is used."""
    parts = _split(url.strip())
    host = parts.netloc.rpartition("@")[2]
    shown = f"{parts.scheme}://{host}{parts.path}".rstrip("/") if host else "(no host)"
    if not parts.username:
        return Address(shown)
    return Address(shown, (unquote(parts.username), unquote(parts.password or "")))


def no_key() -> str | None:
    return None


@define
class Connection:
    """Requests to one server. Made without a request; ``server`` is its name in errors ("Ollama at http://…") and
    ``hint`` the sentence that says how to get it going. May be used on one event loop."""

    server: str
    address: Address
    hint: str
    api_key: ApiKey = no_key
    _client: httpx.AsyncClient | None = field(default=None, init=False)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Raises ``ProviderUnavailable`` or ``ProviderError``, or what the refusal means, as all requests here do."""
        status, reply = await self._exchange("GET", path, query=query)
        return self._accepted(status, reply, None)

    async def get_if_there(self, path: str, query: Mapping[str, str] | None = None) -> Json | None:
        """None where the server has no such endpoint, or nothing at it for this query; other refusals are raised."""
        status, reply = await self._exchange("GET", path, query=query)
        return None if status in (400, *ABSENT_STATUSES) else self._accepted(status, reply, None)

    async def get_text_if_there(self, path: str, query: Mapping[str, str] | None = None) -> str | None:
        """The same for an endpoint that answers with plain text, such as metrics."""
        status, raw = await self._bytes("GET", path, query=query)
        if status in (400, *ABSENT_STATUSES):
            return None
        if status != 200:
            raise refusal(self.server, status, _decoded(raw))
        return raw.decode(errors="replace")

    async def post(self, path: str, body: object, model: str | None = None, *, timeout_s: float | None = None) -> Json:
        status, reply = await self._exchange("POST", path, body, timeout_s=timeout_s)
        return self._accepted(status, reply, model)

    async def post_if_there(self, path: str, body: object, model: str | None = None) -> Json | None:
        """None where the server has no such endpoint; other refusals are raised."""
        status, reply = await self._exchange("POST", path, body)
        return None if status in ABSENT_STATUSES else self._accepted(status, reply, model)

    @asynccontextmanager
    async def stream(self, path: str, body: object, model: str | None = None) -> AsyncIterator[httpx.Response]:
        """Open a streamed reply; leaving the block closes its connection, by which servers cancel the work. There is
        no limit on the time to the first token. A kept-alive connection that the server dropped is replaced once."""
        with self._translated():
            request = self._request("POST", path, body, headers={"Connection": "close"})
            response = await self._send(request)
            try:
                if response.status_code != 200:
                    payload = _decoded(await _read(response, self.server, LARGEST_REFUSAL_BYTES))
                    raise refusal(self.server, response.status_code, payload, model)
                yield response
            finally:
                await response.aclose()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _exchange(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> tuple[int, object]:
        """The status and the decoded JSON; null where a refusal has none. A success that is no JSON is an error."""
        status, raw = await self._bytes(method, path, body, query, timeout_s)
        reply = _decoded(raw)
        if status == 200 and reply is None:
            raise ProviderError(
                f"{self.server} answered with something that is not JSON. "
                "Check that the address is that of a model server and not of a web page or a proxy."
            )
        return status, reply

    async def _bytes(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> tuple[int, bytes]:
        with self._translated():
            async with asyncio.timeout(timeout_s or REPLY_TIMEOUT_S):
                response = await self._send(self._request(method, path, body, query=query))
                try:
                    return response.status_code, await _read(response, self.server, LARGEST_REPLY_BYTES)
                finally:
                    await response.aclose()

    def _accepted(self, status: int, reply: object, model: str | None) -> Json:
        if status != 200:
            raise refusal(self.server, status, reply, model)
        return Json(reply, self.server)

    def _request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        key = self.api_key()
        if key:
            sent["Authorization"] = f"Bearer {self._sendable(key)}"
        content = None
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = self._encoded(body)
        return self._built(method, self.address.url + path, content=content, params=query, headers=sent)

    def _built(self, method: str, url: str, **parts: Any) -> httpx.Request:
        import httpx  # noqa: PLC0415  # heavy: only a process that talks to a server pays for it

        try:
            return self._opened().build_request(method, url, **parts)
        except UnicodeError:
            raise httpx.InvalidURL("The host looks like an internationalised name, and is none.") from None

    def _encoded(self, body: object) -> bytes:
        try:
            return orjson.dumps(body)
        except TypeError:
            raise ProviderError(
                "The request holds text that is no valid Unicode and can't be sent. Take those characters out of it."
            ) from None

    def _sendable(self, key: str) -> str:
        if not key.isascii() or not key.isprintable():
            raise ProviderError(f"The API key for {self.server} holds characters that no key has. Set it anew.")
        return key

    async def _send(self, request: httpx.Request) -> httpx.Response:
        import httpx  # noqa: PLC0415  # heavy: only a process that talks to a server pays for it

        client = self._opened()
        try:
            return await client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return await client.send(request, stream=True)

    def _opened(self) -> httpx.AsyncClient:
        import httpx  # noqa: PLC0415  # heavy: only a process that talks to a server pays for it

        if self._client is None:
            try:
                self._client = httpx.AsyncClient(
                    auth=self.address.credentials,
                    timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
                    trust_env=not self.address.is_loopback,
                )
            except (ValueError, ImportError):
                raise ProviderUnavailable(
                    f"{self.server} can't be reached: the proxy that the environment names can't be used. "
                    "Correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or list the server in NO_PROXY."
                ) from None
        return self._client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what goes wrong into our own errors, without the cause: it may hold headers or pieces of a reply."""
        import httpx  # noqa: PLC0415  # heavy: only a process that talks to a server pays for it

        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise ProviderUnavailable(
                f"{self.server} can't be reached: this is no valid http address. Correct it in the settings."
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError):
            raise ProviderUnavailable(f"{self.server} does not answer. {self.hint}") from None
        except (httpx.TimeoutException, TimeoutError):
            raise ProviderUnavailable(f"{self.server} did not answer in time. It may be busy; try again.") from None
        except (httpx.HTTPError, httpx.StreamError):
            raise ProviderError(
                f"The connection to {self.server} broke off. Try again; its own log may say why."
            ) from None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.hostname, parts.port, parts.username  # noqa: B018  # these are parsed, and may fail, when they are read
    except ValueError:
        return _BROKEN
    # Behind the host, an "@" means that the host is the beginning of a password that holds a reserved character.
    return _BROKEN if "@" in parts.path + parts.query + parts.fragment else parts


async def _read(response: httpx.Response, server: str, most: int) -> bytes:
    """The whole body, as long as it is not unreasonable."""
    refuse_compressed(response, server)
    parts, length = [], 0
    async for part in response.aiter_raw():
        length += len(part)
        if length > most:
            raise ProviderError(f"{server} sent an answer that does not end. Check that the address is the right one.")
        parts.append(part)
    return b"".join(parts)


def refuse_compressed(response: httpx.Response, server: str) -> None:
    """None was asked for, and a small one could unfold to any size."""
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise ProviderError(
            f"{server} sent a compressed answer, which was not asked for. Check what stands in between."
        )


def _decoded(raw: bytes) -> object:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
