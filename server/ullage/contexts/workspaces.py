"""Workspace folders by their URIs, which editors spell in different ways."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from ullage.errors import InvalidArgument

_SAFE = "/:@!$&'()*+,;=~-._"


_CONTROL = re.compile(r"[\x00-\x1f\x7f]|%00")
_DRIVE = re.compile(r"/[A-Za-z]:")


def normalise_uri(uri: str, path: str = "workspaceUri") -> str:
    """One spelling for each folder: scheme, host and drive letter in lower case, the least percent-encoding, no
    trailing slash. What names different folders stays different. ``path`` names the parameter in the error.

    Raises:
        InvalidArgument: not an absolute URI, or one with control characters, which urllib would take out.
    """
    parts = _split(uri)
    if parts is None:
        raise InvalidArgument("A workspace is named by an absolute URI such as file:///home/me/project.", path)
    location = _least_encoded(parts.path).rstrip("/") or "/"
    if _DRIVE.match(location):
        location = location[:2].lower() + location[2:]
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    authority = f"//{parts.netloc.lower()}" if parts.netloc or parts.scheme == "file" else ""
    return f"{parts.scheme.lower()}:{authority}{location}{query}{fragment}"


def _split(uri: str) -> SplitResult | None:
    """The parts of an absolute URI; None for what is none."""
    try:
        uri.encode()
        parts = urlsplit(uri)
    except ValueError:
        return None
    absolute = parts.scheme and (parts.path or parts.netloc)
    return None if _CONTROL.search(uri) or not absolute else parts


def _least_encoded(path: str) -> str:
    """Bytes stay bytes, whether or not they are text; an encoded slash parts no folders, and so stays encoded."""
    return "%2F".join(quote(unquote_to_bytes(part), safe=_SAFE) for part in re.split("%2[Ff]", path))


def moved(uri: str, old: str, new: str) -> str | None:
    """``uri`` after the folder ``old`` became ``new``; None where it does not lie in it. All are normalised."""
    if uri == old:
        return new
    return new + uri[len(old) :] if uri.startswith(old.rstrip("/") + "/") else None
