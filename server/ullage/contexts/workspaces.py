"""Workspace folders by their URIs, which editors spell in different ways."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

from ullage.errors import InvalidArgument

_SAFE = "/:@!$&'()*+,;=~-._"


def normalise_uri(uri: str, path: str = "workspaceUri") -> str:
    """One spelling for each folder: scheme, host and drive letter in lower case, the least percent-encoding, no
    trailing slash. ``path`` names the parameter in the error.

    Raises:
        InvalidArgument: not an absolute URI.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme or not (parts.path or parts.netloc) or "\0" in unquote(uri):
        raise InvalidArgument("A workspace is named by an absolute URI such as file:///home/me/project.", path)
    location = unquote(parts.path)
    if len(location) > 2 and location[0] == "/" and location[1].isalpha() and location[2] == ":":
        location = f"/{location[1].lower()}{location[2:]}"
    location = quote(location.rstrip("/") or "/", safe=_SAFE)
    query = f"?{parts.query}" if parts.query else ""
    authority = f"//{parts.netloc.lower()}" if parts.netloc or parts.scheme == "file" else ""
    return f"{parts.scheme.lower()}:{authority}{location}{query}"


def moved(uri: str, old: str, new: str) -> str | None:
    """``uri`` after the folder ``old`` became ``new``; None where it does not lie in it. All are normalised."""
    if uri == old:
        return new
    return new + uri[len(old) :] if uri.startswith(old.rstrip("/") + "/") else None
