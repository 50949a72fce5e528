"""Graphics cards as Linux lists them under ``/sys/class/drm``."""

from __future__ import annotations

import re
from pathlib import Path

from ullage.hardware.files import names_in, text_of

_CARD = re.compile(r"card\d{1,4}")  # beside card0 there are its connectors: card0-DP-1


def cards_of(sysfs: Path, vendor: str) -> list[Path]:
    """The folders of all cards of this vendor (a PCI id such as 0x1002), by number."""
    drm = sysfs / "class/drm"
    names = sorted(filter(_CARD.fullmatch, names_in(drm)), key=lambda name: int(name[4:]))
    return [drm / name for name in names if text_of(drm / name / "device/vendor") in (vendor, None)]
