"""Where in a model the secrets sat and what was changed there: one bar per layer, and the sentences that
tell it to somebody who has never seen a language model from inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from markupsafe import Markup

from domain.outcomes import Attempt, Edit, Layer
from reports import words
from reports.charts import inline
from reports.figures import count, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MASS, EDITED = "#009E73", "#CC79A7"  # of Okabe and Ito (2008), not those of before and after
_ROWS = 16  # of a deeper model adjoining layers share a row
_ENOUGH = 0.01  # the gap up to which the shares are exact enough (design)


@dataclass(frozen=True, slots=True)
class Picture:
    """What the page says about one edit, and its chart."""

    inside: str  # what a model is made of
    found: str  # where the secrets were, and what was done there
    how: str  # how that was found; empty where it was not
    chart: Markup  # SVG


_SPARED = (
    " Those were taken that serve this person's secrets far more than other people's, so they need not stand where "
    "the secrets sit most."
)


def picture(attempt: Attempt, name: str) -> Picture | None:
    """Of the attempt's edit; None when its method changed no named part of the model."""
    trace = attempt.trace
    if trace is None or trace.edit is None or not trace.edit.layers:
        return None
    edit = trace.edit
    noun = words.say(words.PIECES, edit.unit)
    verb = words.EDITS.get(attempt.method, "changed")
    chart = Markup(_chart(edit, noun, verb, name))  # noqa: S704  our own SVG
    found = _found(edit, noun, verb) + (_SPARED if trace.facts.get("compared") else "")
    return Picture(_inside(edit, noun), found, _how(edit), chart)


def _inside(edit: Edit, noun: str) -> str:
    sizes = {layer.pieces for layer in edit.layers}
    each = f"{count(sizes.pop())} {noun} each" if len(sizes) == 1 else f"{noun} in each"
    return (
        "A language model is a pile of layers. Text goes in at layer 1, each layer hands what it makes "
        "of the text to the next, and after the last one the model gives its answer. "
        f"{words.say(words.ABOUT_PIECES, edit.unit)} This model has {len(edit.layers)} "
        f"{'layer' if len(edit.layers) == 1 else 'layers'} with {each}."
    )


def _found(edit: Edit, noun: str, verb: str) -> str:
    where = ""
    shares = [layer.mass for layer in edit.layers]
    known = [(mass, number) for number, mass in enumerate(shares, 1) if mass is not None]
    if known:
        most, number = max(known, key=lambda pair: (pair[0], -pair[1]))
        where = f"Of what made it say the secrets, {percent(most)} sat in layer {number}. "
    places = [(layer.edited, f"in layer {n}") for n, layer in enumerate(edit.layers, 1)]
    if edit.outside:
        places.append((edit.outside.edited, "outside of the layers"))
    touched = [place for place in places if place[0]]
    told = f"{count(edit.edited)} of all {count(edit.pieces)} {noun} were {verb}"
    if not touched:
        return f"{where}None of the {count(edit.pieces)} {noun} was {verb}."
    share = percent(edit.edited / edit.pieces)
    if len(touched) == 1:
        return f"{where}{told} ({share}), all of them {touched[0][1]}."
    most_of, place = max(touched, key=lambda pair: pair[0])
    return f"{where}{told} ({share}), the most, {count(most_of)}, {place}."


def _how(edit: Edit) -> str:
    if edit.gap is None:
        return ""
    exact = edit.gap <= _ENOUGH
    return (
        "How the shares were found: while the secret was asked for, the neurons of one layer at a time "
        "were turned up from nothing to where they stand, and what each of them added to the chance "
        "of the secret was counted (integrated gradients). What was counted "
        + (
            f"agrees with the effect of the whole layer within {percent(edit.gap)} (at most 1 % is asked for)."
            if exact
            else f"misses the effect of the whole layer by up to {percent(edit.gap)}, more than the 1 % "
            "that is asked for: take the shares as rough."
        )
    )


def _chart(edit: Edit, noun: str, verb: str, name: str) -> str:
    rows = _rows(edit)

    def made() -> "Figure":
        from matplotlib.figure import Figure

        height = 0.3 * len(rows) + 0.5  # inches: 0.3 a row, and the two titles
        figure = Figure(figsize=(7.4, height))
        bottom, tall = 0.06 / height, 1 - 0.5 / height
        has_mass = any(layer.mass is not None for _, layer in rows)
        left = figure.add_axes((0.36, bottom, 0.18, tall)) if has_mass else None
        right = figure.add_axes((0.66 if has_mass else 0.36, bottom, 0.12, tall))
        if left is not None:
            _bars(
                left,
                [layer.mass or 0.0 for _, layer in rows],
                ["" if layer.mass is None else percent(layer.mass) for _, layer in rows],
                MASS,
                "What made it say the secrets",
            )
        _bars(
            right,
            [layer.edited for _, layer in rows],
            [f"{count(layer.edited)} of {count(layer.pieces)}" for _, layer in rows],
            EDITED,
            f"{noun[0].upper()}{noun[1:]} {verb}",
        )
        (left or right).set_yticks(range(len(rows)), [label for label, _ in rows])
        return figure

    return inline(made, name=f"{name}-edit")


def _rows(edit: Edit) -> list[tuple[str, Layer]]:
    """A label and the numbers of each row, the first layer first; many layers are taken together."""
    step = ceil(len(edit.layers) / _ROWS)
    found = []
    for start in range(0, len(edit.layers), step):
        some, end = edit.layers[start : start + step], min(start + step, len(edit.layers))
        label = f"Layer {end}" if end == start + 1 else f"Layers {start + 1} to {end}"
        if start == 0:
            label += ", text goes in"
        elif end == len(edit.layers):
            label += ", answer comes out"
        masses = [layer.mass for layer in some if layer.mass is not None]
        found.append(
            (
                label,
                Layer(
                    sum(masses) if masses else None,
                    sum(layer.edited for layer in some),
                    sum(layer.pieces for layer in some),
                ),
            )
        )
    if edit.outside is not None:
        found.append(("Outside of the layers", edit.outside))
    return found


def _bars(
    axes: "Axes", values: Sequence[float], labels: Sequence[str], colour: str, title: str
) -> None:
    """One bar a row with its number behind it; no axis, since every bar says what it is."""
    longest = max(*values, 1e-9) if len(values) > 1 else max(values[0], 1e-9)
    axes.barh(range(len(values)), values, height=0.62, color=colour)
    for row, (value, label) in enumerate(zip(values, labels, strict=True)):
        axes.text(value + 0.03 * longest, row, label, va="center", color="#222222")
    axes.axvline(0, color="#bbbbbb", lw=1)
    axes.set_xlim(0, longest)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_title(title, loc="left", fontsize=9.5, color="#444444", pad=6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0, pad=6, colors="#222222")
    for side in axes.spines.values():
        side.set_visible(False)
