"""The README shows the figures that were measured last, and nothing else."""

from scripts.figures import current, table


def test_the_readme_has_the_last_figures() -> None:
    assert current() == table(), "run: python scripts/figures.py"


def test_there_are_figures() -> None:
    assert table().count("\n") > 5
