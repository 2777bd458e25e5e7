"""Plots as SVG, written by hand: two kinds are all that is needed, and no dependency."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0b6e4f", "#c8553d", "#588bae", "#8d6a9f", "#b58900", "#444444")
_STYLE = "font: 12px sans-serif; background: #ffffff"
_GRID = "#dddddd"
_LABELS = 330  # width of the labels beside bars
_LINE = 22  # height of a bar with the gap below it


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a bar chart: a ratio, marks beside it, and the bound that it must keep."""

    label: str
    value: float
    marks: Mapping[str, float]
    bound: float | None = None


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def _document(width: float, height: float, parts: Sequence[str], title: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" style="{_STYLE}">'
    )
    background = f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>'
    body = "\n".join((background, _text(10, 20, title, 'font-weight="bold"'), *parts))
    return f"{head}\n<title>{escape(title)}</title>\n{body}\n</svg>\n"


def bars(title: str, chart: Sequence[Bar], *, width: int = 960) -> str:
    """Draw ratios on a logarithmic axis around 1; marks are dots, a bound is a tick."""
    values = [value for bar in chart for value in (bar.value, *bar.marks.values(), bar.bound or 1.0)]
    low = 2.0 ** math.floor(math.log2(min(values, default=1.0)) - 0.1)
    high = 2.0 ** math.ceil(math.log2(max(values, default=1.0)) + 0.1)
    scale = (width - _LABELS - 60) / math.log2(high / low)

    def at(value: float) -> float:
        return _LABELS + math.log2(value / low) * scale

    top, bottom = 52, 52 + len(chart) * _LINE
    parts: list[str] = []
    for power in range(round(math.log2(low)), round(math.log2(high)) + 1):
        x = at(2.0**power)
        parts.append(_line(x, top - 6, x, bottom, "#888888" if power == 0 else _GRID))
        parts.append(_text(x, top - 10, f"{2.0**power:g}", 'text-anchor="middle"'))
    names = sorted({name for bar in chart for name in bar.marks})
    for number, bar in enumerate(chart):
        parts += _bar(bar, top + number * _LINE, at, names)
    for number, name in enumerate(names):
        x = _LABELS + number * 120
        parts.append(f'<circle cx="{x}" cy="{bottom + 18}" r="4" fill="{COLOURS[number + 2]}"/>')
        parts.append(_text(x + 9, bottom + 22, name))
    x = _LABELS + len(names) * 120
    parts.append(_line(x, bottom + 10, x, bottom + 26, "#000000", 'stroke-width="2"'))
    parts.append(_text(x + 9, bottom + 22, "what it must be; red: above it"))
    return _document(width, bottom + 34, parts, title)


def _bar(bar: Bar, y: float, at: Callable[[float], float], names: Sequence[str]) -> list[str]:
    start, end = sorted((at(1.0), at(bar.value)))
    colour = COLOURS[1] if bar.bound is not None and bar.value > bar.bound else COLOURS[0]
    parts = [
        _text(_LABELS - 8, y + 14, bar.label, 'text-anchor="end"'),
        f'<rect x="{start:.1f}" y="{y + 3}" width="{max(1.0, end - start):.1f}" height="14" fill="{colour}"/>',
        _text(end + 4, y + 14, f"{bar.value:.2f}", 'font-size="10"'),
    ]
    if bar.bound is not None:
        parts.append(_line(at(bar.bound), y, at(bar.bound), y + 20, "#000000", 'stroke-width="2"'))
    for name, value in bar.marks.items():
        parts.append(
            f'<circle cx="{at(value):.1f}" cy="{y + 10}" r="4" fill="{COLOURS[names.index(name) + 2]}"/>'
        )
    return parts


def curves(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    y_label: str,
    size: tuple[int, int] = (720, 380),
) -> str:
    """Draw curves over a logarithmic x axis and a linear y axis from 0."""
    width, height = size
    left, right, top, bottom = 60.0, width - 180.0, 44.0, height - 44.0
    points = [point for curve in series.values() for point in curve]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    most = _round_up(max(y for _, y in points))

    def across(x: float) -> float:
        return left + (right - left) * (math.log(x / low) / math.log(high / low) if high > low else 0.5)

    def up(y: float) -> float:
        return bottom - (bottom - top) * y / most

    parts = []
    for step in range(6):
        y = most * step / 5
        parts += [
            _line(left, up(y), right, up(y), _GRID),
            _text(left - 6, up(y) + 4, f"{y:g}", 'text-anchor="end"'),
        ]
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        x = across(10.0**power)
        parts += [
            _line(x, top, x, bottom, _GRID),
            _text(x, bottom + 16, f"{10**power:,}", 'text-anchor="middle"'),
        ]
    for number, (name, curve) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>' for x, y in curve]
        parts.append(_text(right + 12, top + 14 + number * 18, name, f'fill="{colour}"'))
    parts.append(_text((left + right) / 2, height - 10, x_label, 'text-anchor="middle"'))
    parts.append(_text(left, top - 8, y_label))
    return _document(width, height, parts, title)


def _round_up(value: float) -> float:
    """Find a round figure at or above, for the end of an axis."""
    step = 10.0 ** math.floor(math.log10(value or 1.0))
    return next((step * factor for factor in (1, 2, 5, 10) if step * factor >= value), value)
