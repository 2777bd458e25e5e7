"""The cases of the codec's growth: they run, and growth is read right."""

import pytest

from bench.linear import CASES, GROWTH, Case, exponent


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_is_consumed_at_every_size(case: Case) -> None:
    sizes = [len(case.make(case.smallest * GROWTH**step)) for step in range(3)]
    assert sizes == sorted(sizes)
    case.consume(case.make(case.smallest))


def test_exponent_tells_linear_from_quadratic() -> None:
    assert exponent([1.0, 4.0, 16.0]) == pytest.approx(1.0)
    assert exponent([1.0, 16.0, 256.0]) == pytest.approx(2.0)
