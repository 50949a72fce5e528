from __future__ import annotations

import pytest

from ullage.tokens.calibration import Calibration


def test_the_factor_moves_a_fifth_of_the_way() -> None:
    assert Calibration().observed(150, 100).factor == pytest.approx(1.1)


def test_a_steady_server_is_met() -> None:
    calibration = Calibration()
    for _ in range(60):
        calibration = calibration.observed(1300, calibration.apply(1000))
    assert calibration.factor == pytest.approx(1.3, abs=0.01)


@pytest.mark.parametrize(("factor", "bound"), [(0.01, 0.5), (9.0, 2.0)])
def test_the_factor_is_bounded(factor: float, bound: float) -> None:
    assert Calibration(factor).factor == bound


def test_a_ratio_beyond_the_bound_leads_to_the_bound() -> None:
    assert Calibration(2.0).observed(3000, 2000).factor == 2.0


@pytest.mark.parametrize(
    ("reported", "counted"), [(None, 9), (9, None), (0, 9), (9, 0), (-1, 9), (9, -1), (10, 100), (1000, 100)]
)
def test_missing_and_suspect_figures_teach_nothing(reported: int | None, counted: int | None) -> None:
    assert Calibration(1.2).observed(reported, counted) == Calibration(1.2)
