"""Every curve can be measured at its first sizes, and growth is judged right."""

import pytest

from bench.scale import CURVES, Curve, Measured, cost, main, plot, table
from bench.scenarios import CONNECTIONS


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_curve_is_measured(curve: Curve) -> None:
    assert cost(curve.point(curve.sizes[1]), CONNECTIONS, 1) > 0


def test_exponent_tells_flat_from_linear() -> None:
    flat = Measured("a", "as", ((10, 8.0), (10_000, 8.0)))
    linear = Measured("b", "bs", ((10, 8.0), (10_000, 8000.0)))
    assert flat.exponent == 0.0
    assert linear.exponent == pytest.approx(1.0)
    assert "| as | 10: 8.0 µs, 10,000: 8.0 µs | +0.00 |" in table([flat])
    assert plot([flat, linear]).count("<polyline") == 2


def test_unknown_curve_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["planets"])
    assert "no curve planets" in capsys.readouterr().err
