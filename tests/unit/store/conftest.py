from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.store_values import operation, record
from ullage.store.folder import StorageFolder, open_folder
from ullage.store.opening import open_store
from ullage.store.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> StorageFolder:
    return open_folder(tmp_path / "storage")


@pytest.fixture
def store(folder: StorageFolder) -> Iterator[Store]:
    store = open_store(folder).store
    yield store
    store.close()


@pytest.fixture
def context(store: Store) -> str:
    made = record()
    store.create(made, operation(made.id, "open"))
    return made.id
