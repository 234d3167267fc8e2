"""Before, after and never seen, side by side: dots with their 95 % intervals; and how any figure
becomes SVG to stand inside the page.

Colours are those of Okabe and Ito (2008), which colour-blind readers tell apart; shapes differ as
well, for print in grey. Labels come from the report's own vocabulary, never from data.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from math import isfinite
from typing import TYPE_CHECKING, Any

from domain.outcomes import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEFORE, AFTER, CONTROL = "#D55E00", "#0072B2", "#595959"
_STYLES = ((BEFORE, "o", 0.24), (AFTER, "s", 0.0), (CONTROL, "D", -0.24))  # colour, shape, height


@dataclass(frozen=True, slots=True)
class Row:
    """One metric: its label and what was measured; None where nothing was."""

    label: str
    before: Estimate | None
    after: Estimate | None
    control: Estimate | None

    def estimates(self) -> tuple[Estimate | None, Estimate | None, Estimate | None]:
        return (self.before, self.after, self.control)


@dataclass(frozen=True, slots=True)
class Scale:
    """The horizontal axis: what it shows, its ends (None: from the data), and a line to compare
    with.
    """

    caption: str
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    percent: bool = False


def intervals(rows: Sequence[Row], scale: Scale, *, name: str) -> str:
    """An SVG element with one line per row; `name` makes its inner ids unique on the page."""

    def made() -> "Figure":
        from matplotlib.figure import Figure

        height = 0.52 * len(rows) + 0.62  # inches: half an inch a row, and the axis
        figure = Figure(figsize=(7.4, height))
        axes = figure.add_axes((0.36, 0.5 / height, 0.61, 1 - 0.56 / height))
        for position, row in enumerate(reversed(rows)):
            _draw(axes, position, row)
        _dress(axes, rows, scale)
        return figure

    return inline(made, name=name)


def inline(figure: "Callable[[], Figure]", *, name: str) -> str:
    """The SVG element of a figure that is made within the page's settings; the same figure, the same bytes."""
    import matplotlib as mpl

    settings: dict[str, Any] = {
        "svg.fonttype": "none",  # text stays text: it can be searched and takes the page's typeface
        "svg.hashsalt": name,  # same rows, same bytes
        "font.size": 9.5,
        "font.family": "DejaVu Sans",
    }
    target = StringIO()
    with mpl.rc_context(settings):
        figure().savefig(target, format="svg", transparent=True, metadata={"Date": None})
    return _element(target.getvalue())


def _draw(axes: "Axes", position: int, row: Row) -> None:
    """The three dots of one row with their whiskers."""
    for estimate, (colour, shape, lift) in zip(row.estimates(), _STYLES, strict=True):
        if estimate is None or not isfinite(estimate.value):
            continue
        at = position + lift
        if isfinite(estimate.low) and isfinite(estimate.high):
            axes.plot(
                (estimate.low, estimate.high), (at, at), color=colour, lw=2, solid_capstyle="butt"
            )
        axes.plot(
            estimate.value, at, shape, color=colour, ms=6.5, mec="white", mew=0.8, clip_on=False
        )


def _dress(axes: "Axes", rows: Sequence[Row], scale: Scale) -> None:
    """Axis, grid and reference line; everything that carries no data is pale."""
    from matplotlib.ticker import PercentFormatter

    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_yticks(range(len(rows)), [row.label for row in reversed(rows)])
    if scale.low is not None and scale.high is not None:
        margin = 0.015 * (scale.high - scale.low)
        axes.set_xlim(scale.low - margin, scale.high + margin)
    if scale.percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if scale.reference is not None:
        axes.axvline(scale.reference, color="#8a8a8a", lw=1, ls=(0, (4, 3)), zorder=0)
    axes.set_xlabel(scale.caption, color="#444444")
    axes.grid(axis="x", color="#e4e4e4", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors="#222222")
    for boundary in range(len(rows) - 1):
        axes.axhline(boundary + 0.5, color="#efefef", lw=0.8, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#bbbbbb")


def _element(document: str) -> str:
    """The `<svg>` element of an SVG document: no prolog, no metadata, no link to the outside."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\sxmlns:xlink="[^"]*"', "", element, count=1).replace("xlink:href", "href")
    element = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", element, count=1)
    element = element.replace("<svg ", '<svg class="chart" role="img" ', 1)
    return element.strip()
