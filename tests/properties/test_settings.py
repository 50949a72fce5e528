"""What holds of settings, whatever the sources say."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.json_schema import faults
from support.settings_trees import PATHS, tree, valid, written
from ullage.settings import Layer, Resolved, Settings, SettingSource, flatten, resolve
from ullage.settings.fields import get
from ullage.settings.rules import RULES
from ullage.settings.scopes import scope
from ullage.settings_schema import schema

SOURCES: tuple[SettingSource, ...] = typing.get_args(SettingSource)[1:]
PAIRED = {path for rule in RULES for path in (rule.lower, rule.upper)}
FREE = tuple(path for path in PATHS if path not in PAIRED)
"""What stands in no rule with another setting."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from([part for path in PATHS for part in (path, *path.split("."))]) | st.text(max_size=5)
likely_trees = st.recursive(
    json_values, lambda inner: st.dictionaries(keys, inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=20
)


def assignments(*paths: str) -> st.SearchStrategy[dict[str, Any]]:
    """Valid values for any of the paths."""
    return st.fixed_dictionaries({}, optional={path: valid(path) for path in paths})


def layered(by_source: dict[SettingSource, dict[str, Any]]) -> Resolved:
    return resolve([Layer(source, tree(by_source[source])) for source in SOURCES if source in by_source])


def is_set(source: SettingSource, path: str, value: object) -> bool:
    """Whether this source may set the path, and does so by this value."""
    if source == "editor" and value is None:
        return False
    return source != "workspace file" or scope(path) == "resource"


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional={source: assignments(*FREE) for source in SOURCES}))
def test_property_35_of_any_assignment_of_values_to_sources_the_strongest_counts(
    by_source: dict[SettingSource, dict[str, Any]],
) -> None:
    resolved = layered(by_source)
    listed = {value.path: value.source for value in resolved.values()}
    for path in FREE:
        setters = [s for s in SOURCES if path in by_source.get(s, {}) and is_set(s, path, by_source[s][path])]
        strongest = setters[-1] if setters else "default"
        wanted = by_source[strongest][path] if setters else written(get(Settings(), path))
        assert _with_nulls(written(get(resolved.settings, path))) == _with_nulls(wanted)
        assert listed[path] == strongest


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SOURCES), st.floats(0.1, 1) | json_values), unique_by=lambda each: each[0]),
)
def test_property_36_the_snapshot_threshold_is_the_strongest_valid_one(said: list[tuple[SettingSource, Any]]) -> None:
    path = "context.snapshots.autoThreshold"
    by_strength = sorted(said, key=lambda each: SOURCES.index(each[0]))
    own = [value for source, value in by_strength if source != "workspace file"]  # snapshots are the person's own
    taken = [value for value in own if type(value) in (int, float) and 0.1 <= value <= 1]
    resolved = layered({source: {path: value} for source, value in said})
    assert resolved.settings.context.snapshots.auto_threshold == (taken[-1] if taken else 0.8)


@settings(max_examples=200, deadline=None)
@given(assignments(*PATHS), st.sampled_from(PATHS), st.sampled_from(("user file", "editor", "environment")), st.data())
def test_property_a_bad_value_never_changes_another_setting(
    good: dict[str, Any], path: str, source: SettingSource, data: st.DataObject
) -> None:
    bad = data.draw(json_values.filter(lambda value: list(faults(_leaf(path), value)) != []), label="bad")
    without = [Layer("user file", tree(good))]
    resolved = resolve([*without, Layer(source, tree({path: bad}))])
    assert resolved.settings == resolve(without).settings
    if not (source == "editor" and bad is None):
        assert (path, source) in [(problem.path, problem.source) for problem in resolved.problems]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.builds(Layer, st.sampled_from(SOURCES), likely_trees, st.none(), st.booleans()), max_size=4))
def test_property_any_tree_whatsoever_resolves_and_problems_name_path_and_source(layers: list[Layer]) -> None:
    resolved = resolve(layers)
    for problem in resolved.problems:
        assert problem.path.isprintable()
        assert problem.source in {layer.source for layer in layers}
        assert problem.path in str(problem)
        str(problem).encode()
    for rule in RULES:
        assert rule.holds(get(resolved.settings, rule.lower), get(resolved.settings, rule.upper))
    assert all(source in SOURCES for source in resolved.origins.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SOURCES), assignments(*PAIRED)), max_size=6))
def test_property_settings_that_must_fit_together_do_and_are_one_sources_or_untouched(
    said: list[tuple[SettingSource, dict[str, Any]]],
) -> None:
    resolved = resolve([Layer(source, tree(values)) for source, values in said])
    for rule in RULES:
        low, high = get(resolved.settings, rule.lower), get(resolved.settings, rule.upper)
        assert rule.holds(low, high)
        assert low in [get(Settings(), rule.lower), *(values.get(rule.lower) for _, values in said)]
        assert high in [get(Settings(), rule.upper), *(values.get(rule.upper) for _, values in said)]
    if not resolved.problems:
        again = {path: value for _, values in said for path, value in values.items()}
        assert all(get(resolved.settings, path) == value for path, value in again.items())


@settings(max_examples=200, deadline=None)
@given(assignments(*PATHS))
def test_property_the_schema_takes_what_the_settings_take(values: dict[str, Any]) -> None:
    assert list(faults(schema(), tree(values))) == []
    resolved = resolve([Layer("user file", tree(values))])
    assert {problem.path for problem in resolved.problems} <= PAIRED
    shown = tree({path: written(value) for path, value in flatten(resolved.settings)})
    assert list(faults(schema(), shown)) == []


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_can_set_something(source: SettingSource) -> None:
    assert layered({source: {"context.reserveOutput": 7}}).settings.context.reserve_output == 7


def _with_nulls(value: object) -> object:
    """A mode as the tree holds it: what is left out is null."""
    if not isinstance(value, dict):
        return value
    return {
        name: {"systemPrompt": None, "model": None} | entry if isinstance(entry, dict) else entry
        for name, entry in value.items()
    }


def _leaf(path: str) -> dict[str, Any]:
    shape: dict[str, Any] = schema()
    for part in path.split("."):
        shape = shape["properties"][part]
    return shape
