"""Tables for a terminal."""

from collections.abc import Iterable, Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table, its columns as wide as they have to be."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def indented(lines: Iterable[str]) -> list[str]:
    """Indent lines that belong to the one before."""
    return [f"  {line}" for line in lines]
