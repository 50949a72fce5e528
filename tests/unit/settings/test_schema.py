"""The JSON Schema says what the tree of settings says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.json_schema import faults
from support.settings_trees import PATHS, field, tree, written
from ullage.settings import Settings, flatten
from ullage.settings_schema import main, schema

SCHEMA = Path(__file__).parents[3] / "server" / "ullage" / "settings.schema.json"


def leaf(path: str) -> dict[str, Any]:
    shape: dict[str, Any] = schema()
    for part in path.split("."):
        shape = shape["properties"][part]
    return shape


def test_the_schema_in_the_repository_is_up_to_date() -> None:
    assert main(["--check", str(SCHEMA)]) == 0


def test_a_stale_file_fails_the_check_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = tmp_path / "settings.schema.json"
    assert main(["--check", str(stale)]) == 1
    stale.write_text("old")
    assert main(["--check", str(stale)]) == 1
    assert "make format" in capsys.readouterr().err
    assert main([str(stale)]) == 0
    assert main(["--check", str(stale)]) == 0


def test_the_default_tree_is_valid() -> None:
    assert list(faults(schema(), tree({path: written(value) for path, value in flatten(Settings())}))) == []


@pytest.mark.parametrize("path", PATHS)
def test_every_leaf_has_its_default_its_description_and_who_may_set_it(path: str) -> None:
    shape = leaf(path)
    default = dict(flatten(Settings()))[path]
    assert shape["default"] == written(default)
    assert shape["description"].endswith(".")
    assert shape["x-ullage-scope"] in ("machine", "resource")


@pytest.mark.parametrize("path", PATHS)
def test_bounds_stand_in_the_schema(path: str) -> None:
    _, attribute = field(path)
    shape = leaf(path)
    shape = shape.get("additionalProperties", shape)
    assert (shape.get("minimum"), shape.get("maximum")) == (attribute.metadata["least"], attribute.metadata["most"])


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("context.targetSize", "resource"),
        ("context.compression.threshold", "resource"),
        ("context.snapshots.autoThreshold", "machine"),
        ("context.snapshots.maxCount", "machine"),
        ("context.snapshots.maxAgeDays", "machine"),
        ("tokens.multipliers", "machine"),
        ("providers.ollama.url", "machine"),
        ("memory.guard.clear", "machine"),
        ("storageDirectory", "machine"),
    ],
)
def test_a_workspaces_file_is_offered_only_what_it_may_set(path: str, scope: str) -> None:
    assert leaf(path)["x-ullage-scope"] == scope


@pytest.mark.parametrize(
    "bad",
    [
        {"context": {"targetSize": -1}},
        {"context": {"targetSize": 1.5}},
        {"context": {"targetSize": True}},
        {"context": {"kvQuantization": "q3"}},
        {"context": {"compression": {"threshold": 1.1}}},
        {"context": 5},
        {"context": {"nonsense": 1}},
        {"modes": {"x": {"systemPrompt": 1}}},
        {"tokens": {"multipliers": {"llama": 0}}},
        {"providers": {"ollama": {"url": None}}},
        {"memory": {"guard": {"notify": None}}},
    ],
)
def test_what_the_tree_refuses_the_schema_refuses(bad: dict[str, Any]) -> None:
    assert len(list(faults(schema(), bad))) == 1


def test_what_may_be_null_may_be_null() -> None:
    assert list(faults(schema(), {"providers": {"openai": {"url": None}}, "storageDirectory": None})) == []


def test_every_branch_says_what_it_is_for() -> None:
    def branches(shape: dict[str, Any]) -> list[dict[str, Any]]:
        own = [entry for entry in shape["properties"].values() if "properties" in entry]
        return [*own, *(inner for entry in own for inner in branches(entry))]

    described = branches(schema())
    assert len(described) == 12
    assert all(branch["description"].endswith(".") for branch in described)
