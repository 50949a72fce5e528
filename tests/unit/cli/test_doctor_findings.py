"""What `ullage doctor` calls wrong, and the form of the JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ullage.cli.doctor_findings import (
    Embedded,
    Findings,
    ModelServer,
    SettingTrouble,
    Trouble,
    to_json,
    troubles,
    unreadable,
)
from ullage.cli.framing import Json
from ullage.cli.json_forms import DOCTOR_JSON
from ullage.settings import ContextSettings, MemorySettings, Settings
from ullage.store.locks import Holder
from ullage.store.survey import SetAside, Survey, Writer

GIB, MIB = 2**30, 2**20
CONTEXT = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def memory(**changes: Any) -> Json:
    card = {"name": "Card 0", "total": 8 * GIB, "used": 2 * GIB, "available": 6 * GIB}
    whole = {"kind": "nvidia", "total": 8 * GIB, "used": 2 * GIB, "available": 6 * GIB, "modelLoaded": GIB}
    return whole | {"devices": [card], "at": 1} | changes


def stored(**changes: Any) -> Survey:
    figures: dict[str, Any] = {"bytes": 1000, "free_bytes": 10 * GIB, "exposed": (), "set_aside": (), "writers": ()}
    return Survey(root=Path("/cellar"), **(figures | changes))


def findings(**changes: Any) -> Findings:
    sound: dict[str, Any] = {
        "memory": memory(),
        "servers": (ModelServer("ollama", "http://127.0.0.1:11434", answers=True),),
        "models": ({"name": "tiny"},),
        "embedded": Embedded("2026.10.11549", "SmolLM2.gguf"),
        "storage": stored(),
        "versions": {"ullage": "0.1.0"},
    }
    return Findings(**(sound | changes))


def only(**changes: Any) -> Trouble:
    [trouble] = troubles(findings(**changes))
    return trouble


def test_on_a_sound_machine_nothing_is_wrong() -> None:
    assert troubles(findings()) == []


def test_a_missing_engine_is_nothing_wrong_where_a_server_answers() -> None:
    assert troubles(findings(embedded=Embedded(None, None))) == []


def test_a_lost_card_is_named_with_what_to_try() -> None:
    lost = {"name": "Card 1", "total": None, "used": None, "available": None}
    trouble = only(memory=memory(devices=[*memory()["devices"], lost]))
    assert trouble.text.startswith("The memory of Card 1 can't be read. Run `nvidia-smi`")


def test_memory_that_nobody_can_read_is_wrong() -> None:
    unknown = memory(kind="cpu", total=None, used=None, available=None, devices=[])
    assert only(memory=unknown).text.startswith("The memory of this machine can't be read.")


def test_a_card_that_only_tells_its_total_is_not_wrong() -> None:
    """Intel's drivers tell no more."""
    card = {"name": "Arc", "total": 8 * GIB, "used": None, "available": None}
    assert troubles(findings(memory=memory(kind="intel", used=None, available=None, devices=[card]))) == []


@pytest.mark.parametrize(("available", "wrong"), [(256 * MIB, False), (256 * MIB - 1, True)])
def test_memory_below_half_of_the_buffer_is_wrong(available: int, wrong: bool) -> None:
    assert bool(troubles(findings(memory=memory(available=available)))) is wrong


def test_the_persons_own_watermark_goes_before_it() -> None:
    settings = Settings(context=ContextSettings(vram_buffer=2048), memory=MemorySettings(low_watermark_mb=100))
    assert troubles(findings(settings=settings, memory=memory(available=100 * MIB))) == []


def test_without_any_model_server_it_is_said_how_to_get_one() -> None:
    silent = (ModelServer("ollama", "http://127.0.0.1:11434", answers=False),)
    text = only(servers=silent, models=()).text
    assert "No model server answers" in text
    assert "`ollama serve`" in text


def test_servers_without_a_model_are_told_apart_from_no_server() -> None:
    assert "none offers a model" in only(models=()).text


def test_a_server_that_a_setting_names_has_to_answer() -> None:
    named = ModelServer("openai", "http://box:1234", answers=False, setting="providers.openai.url")
    text = only(servers=(*findings().servers, named)).text
    assert text.startswith("openai at http://box:1234 does not answer, though providers.openai.url names it.")


def test_an_embedded_engine_that_was_asked_for_has_to_be_there() -> None:
    named = ModelServer("embedded", "no model installed", answers=False, setting="providers.default")
    assert "`ullage install-model`" in only(servers=(*findings().servers, named)).text


def test_a_storage_folder_that_others_may_read_is_wrong() -> None:
    text = only(storage=stored(exposed=("store.db", "a", "b", "c"))).text
    assert "(store.db, a, b and 1 more)" in text
    assert "`chmod -R go= /cellar`" in text


@pytest.mark.parametrize(("free", "wrong"), [(255 * MIB, True), (256 * MIB, False), (None, False)])
def test_little_space_is_wrong(free: int | None, wrong: bool) -> None:
    assert bool(troubles(findings(storage=stored(free_bytes=free)))) is wrong


def test_a_database_set_aside_is_named() -> None:
    text = only(storage=stored(set_aside=(SetAside("store.db.broken-1", 4096),))).text
    assert text.startswith("A damaged database was set aside as store.db.broken-1 (4.0 KB).")


def test_a_writer_that_ended_is_nothing_wrong() -> None:
    gone = Writer(CONTEXT, Holder(1, "editor", 1), alive=False)
    assert troubles(findings(storage=stored(writers=(gone,)))) == []


def test_another_engine_than_the_tested_one_is_said() -> None:
    trouble = only(embedded=Embedded("1.0", "SmolLM2.gguf"))
    assert (trouble.part, "xllamacpp 1.0 is installed" in trouble.text) == ("versions", True)


def test_a_bad_setting_is_named_with_the_place_to_correct() -> None:
    bad = SettingTrouble("context.targetSize", "user file", "must be a whole number", "/etc/config.yaml")
    text = "context.targetSize (user file): must be a whole number. Correct it in /etc/config.yaml."
    assert only(setting_troubles=(bad,)) == Trouble("settings", text)


def test_the_same_sentence_is_said_once() -> None:
    same = "The storage folder can't be used."
    assert only(heard=(Trouble("server", same), Trouble("storage", same)), storage=None).text == same


def test_what_could_not_be_read_is_listed_by_device() -> None:
    card = {"name": "Arc", "total": 8, "used": None, "available": None}
    assert unreadable(memory(devices=[card])) == ["Arc: used, available"]


def test_the_help_names_every_field_of_the_json() -> None:
    writer = Writer(CONTEXT, Holder(1, "editor", 1), alive=True)
    storage = stored(set_aside=(SetAside("store.db.broken-1", 1),), writers=(writer,))
    bad = SettingTrouble("a", "user file", "b", "c")
    document = to_json(findings(storage=storage, setting_troubles=(bad,)))
    nested = (document["hardware"], document["servers"][0], document["embedded"], document["storage"])
    listed = (document["storage"]["setAside"][0], document["storage"]["writers"][0], document["settings"][0])
    fields = {field for part in (document, *nested, *listed, document["problems"][0]) for field in part}
    assert {field for field in fields if field not in DOCTOR_JSON} == set()


def test_the_json_says_whether_all_is_well() -> None:
    assert [to_json(each)["ok"] for each in (findings(), findings(models=()))] == [True, False]
