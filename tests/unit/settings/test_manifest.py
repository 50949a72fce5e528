"""The extension's manifest has the settings of the tree, and all else as it was written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ullage.settings_manifest import main, manifest

PACKAGE = Path(__file__).parents[3] / "client-vscode" / "package.json"


def written(tmp_path: Path, groups: list[Any]) -> dict[str, Any]:
    file = tmp_path / "package.json"
    file.write_text(json.dumps({"name": "kept", "contributes": {"commands": ["kept"], "configuration": groups}}))
    assert main([str(file)]) == 0
    return dict(json.loads(file.read_text()))


def settings(found: dict[str, Any]) -> dict[str, Any]:
    return {
        path: value
        for group in found["contributes"]["configuration"][1:]
        for path, value in group["properties"].items()
    }


def test_the_manifest_in_the_repository_is_up_to_date() -> None:
    assert main(["--check", str(PACKAGE)]) == 0


def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    own = {"title": "Extension", "properties": {"ullage.extension.python": {"type": "string"}}}
    found = written(tmp_path, [own, {"title": "stale", "properties": {"ullage.gone": {}}}])
    assert found["name"] == "kept"
    assert found["contributes"]["commands"] == ["kept"]
    assert found["contributes"]["configuration"][0] == own
    assert "ullage.gone" not in settings(found)


def test_settings_that_could_redirect_what_a_person_types_are_the_machines(tmp_path: Path) -> None:
    found = settings(written(tmp_path, [{}]))
    for path in (
        "providers.ollama.url",
        "providers.openai.apiKeyEnv",
        "providers.embedded.model",
        "storageDirectory",
        "modes",
    ):
        assert found[f"ullage.{path}"]["scope"] == "machine"
    assert found["ullage.context.targetSize"]["scope"] == "window"


def test_a_setting_keeps_its_bounds_default_and_description(tmp_path: Path) -> None:
    threshold = settings(written(tmp_path, [{}]))["ullage.context.compression.threshold"]
    assert (threshold["minimum"], threshold["maximum"], threshold["default"]) == (0.1, 1, 0.8)
    assert threshold["description"]


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "package.json"
    file.write_text(json.dumps({"contributes": {"configuration": [{}]}}))
    main([str(file)])
    assert manifest(file) == file.read_text()
