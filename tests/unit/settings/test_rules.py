"""Settings that must fit together, two by two."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ullage.settings import Layer, Resolved, Settings, SettingSource, flatten, resolve
from ullage.settings.fields import get
from ullage.settings.rules import RULES

THRESHOLD, TARGET = "context.compression.threshold", "context.compression.target"


def pair(resolved: Resolved) -> tuple[float, float]:
    compression = resolved.settings.context.compression
    return compression.target, compression.threshold


def told(resolved: Resolved) -> list[tuple[str, SettingSource]]:
    return [(problem.path, problem.source) for problem in resolved.problems]


def test_the_defaults_fit_together() -> None:
    for rule in RULES:
        assert rule.holds(get(Settings(), rule.lower), get(Settings(), rule.upper))


def test_no_setting_stands_in_two_rules() -> None:
    paths = Counter(path for rule in RULES for path in (rule.lower, rule.upper))
    assert set(paths.values()) == {1}
    assert paths.keys() <= {path for path, _ in flatten(Settings())}


@pytest.mark.parametrize("target", [0.6, 0.7])
def test_a_target_that_is_not_below_the_threshold_is_told_and_the_pair_below_used(target: float) -> None:
    user = Layer("user file", {TARGET: 0.3, THRESHOLD: 0.9})
    resolved = resolve([user, Layer("editor", {TARGET: target, THRESHOLD: 0.6})])
    assert pair(resolved) == (0.3, 0.9)
    assert told(resolved) == [(TARGET, "editor")]
    assert resolved.problems[0].reason == f"must be below {THRESHOLD}, which is 0.6"
    assert resolved.origins[TARGET] == resolved.origins[THRESHOLD] == "user file"


def test_one_of_a_pair_is_held_against_the_other_whoever_set_that() -> None:
    resolved = resolve([Layer("user file", {THRESHOLD: 0.4})])
    assert pair(resolved) == (0.5, 0.8)
    assert told(resolved) == [(THRESHOLD, "user file")]
    assert resolved.problems[0].reason == f"must be above {TARGET}, which is 0.5"


def test_what_a_stronger_source_makes_fit_is_no_problem() -> None:
    resolved = resolve([Layer("user file", {TARGET: 0.9}), Layer("editor", {THRESHOLD: 0.95})])
    assert pair(resolved) == (0.9, 0.95)
    assert resolved.problems == ()


def test_a_pair_goes_down_source_by_source_until_it_fits() -> None:
    layers = [
        Layer("user file", {TARGET: 0.9}),
        Layer("workspace file", {THRESHOLD: 0.7}),
        Layer("environment", {TARGET: 0.75}),
    ]
    resolved = resolve(layers)
    assert pair(resolved) == (0.5, 0.8)
    assert told(resolved) == [(TARGET, "environment"), (THRESHOLD, "workspace file"), (TARGET, "user file")]


def test_a_bad_pair_changes_nothing_beside_it() -> None:
    resolved = resolve([Layer("editor", {"context": {"compression": {"threshold": 0.2, "preserveRecent": 7}}})])
    assert resolved.settings.context.compression.preserve_recent == 7


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"context": {"maxSize": 1000}}, "context.maxSize"),
        ({"context": {"minSize": 5000, "maxSize": 4000}}, "context.minSize"),
        ({"pool": {"baseCpu": 3}}, "pool.baseCpu"),
        ({"pool": {"burstMemoryMb": 100}}, "pool.burstMemoryMb"),
    ],
)
def test_the_least_is_at_most_the_most(tree: dict[str, Any], path: str) -> None:
    resolved = resolve([Layer("editor", tree)])
    assert told(resolved) == [(path, "editor")]
    assert resolved.settings == Settings()


def test_without_a_maximum_any_minimum_will_do() -> None:
    resolved = resolve([Layer("editor", {"context": {"minSize": 50_000, "maxSize": 0}})])
    assert resolved.settings.context.min_size == 50_000
    assert resolved.problems == ()
