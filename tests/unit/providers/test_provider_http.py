from __future__ import annotations

import pytest

from ullage.errors import ProviderUnavailable
from ullage.providers.http import Connection, parse_address


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9:8080", True),
        ("http://localhost:11434", True),
        ("http://models.localhost", True),
        ("http://[::1]:8080", True),
        ("http://192.168.1.5:8080", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://api.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("nonsense", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, loopback: bool) -> None:
    assert parse_address(url).is_loopback is loopback


def test_an_address_is_shown_without_credentials_and_query() -> None:
    address = parse_address("http://someone:p%40ss@host:1/base/?key=secret#x")
    assert (address.url, address.credentials) == ("http://host:1/base", ("someone", "p@ss"))


@pytest.mark.parametrize("url", ["http://me:12/secret@host", "http://me:12?secret@host", "http://me:12#secret@host"])
def test_an_address_that_could_show_a_piece_of_a_password_is_none(url: str) -> None:
    assert parse_address(url).url == "(no host)"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://[::1",
        "http://a b/",
        "http://xn--a.:9",
        "http://xn--zz--",
        "http://\ud800",
    ],
)
async def test_an_address_that_is_none_is_told_as_that(url: str) -> None:
    connection = Connection("A server", parse_address(url), "Start it.")
    with pytest.raises(ProviderUnavailable, match="A server"):
        await connection.get("/x")
    await connection.close()


async def test_a_proxy_that_can_not_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://x")
    connection = Connection("A server", parse_address("http://192.0.2.1"), "Start it.")
    with pytest.raises(ProviderUnavailable, match="proxy"):
        await connection.get("/x")
