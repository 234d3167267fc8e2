"""The rows of "what the model gave away" and "what it cost": two assessments side by side."""

from dataclasses import dataclass
from math import inf, isfinite

from domain.intervals import difference
from domain.outcomes import Assessment, Attempt, Estimate, ModelErasure, Rule, Score, in_service
from reports import words
from reports.charts import Row, Scale
from reports.figures import NOTHING, change, headline, interval, percent, zero_bound

_RATE = Scale("share of trials", 0.0, 1.0, percent=True)
_AUC = Scale("AUC: 0.5 is a coin toss, 1 tells every text apart", 0.0, 1.0, reference=0.5)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of the table: what is read first, its interval, a remark; all empty where nothing
    was measured.
    """

    main: str = NOTHING
    detail: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One metric: its words, three cells, the row and scale of its chart, and whether it is drawn."""

    label: str
    note: str
    before: Cell
    after: Cell
    control: Cell
    row: Row
    scale: Scale
    headline: bool


@dataclass(frozen=True, slots=True)
class Group:
    """One attack and its metrics: those that are drawn, and the others."""

    title: str
    drawn: tuple[Line, ...]
    others: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of what erasing cost the model's other abilities."""

    label: str
    note: str
    before: Cell
    after: Cell
    change: str


@dataclass(frozen=True, slots=True)
class Bearing:
    """What erasing one person cost a group of others: their loss, and their secrets still given."""

    label: str
    note: str
    loss: tuple[Cell, Cell, Cell]  # before, after, change
    leak: tuple[Cell, Cell, Cell]


def last_measured(model: ModelErasure) -> Attempt | None:
    """The attempt in service; where there is none, the last that got as far as the attacks."""
    served = in_service(model.attempts)
    if served is not None and served.after is not None:
        return served
    return next((a for a in reversed(model.attempts) if a.after is not None), None)


def groups(before: Assessment | None, after: Assessment | None) -> tuple[Group, ...]:
    """Every metric of every attack of either assessment, in the order they were measured; known or
    not.
    """
    found: dict[str, dict[str, list[Score | None]]] = {}
    for index, assessment in enumerate((before, after)):
        for attack in assessment.attacks if assessment else ():
            for score in attack.scores:
                pair = found.setdefault(attack.attack, {}).setdefault(score.metric, [None, None])
                pair[index] = score
    return tuple(_group(attack, metrics) for attack, metrics in found.items())


def not_applicable(before: Assessment | None, after: Assessment | None) -> tuple[str, ...]:
    """The attacks that gave no score on one of the models, in words."""
    empty = [r.attack for a in (before, after) if a for r in a.attacks if not r.scores]
    return tuple(words.say(words.ATTACKS, attack) for attack in dict.fromkeys(empty))


def _group(attack: str, metrics: dict[str, list[Score | None]]) -> Group:
    lines = [_line(attack, metric, *pair) for metric, pair in metrics.items()]
    title = words.say(words.ATTACKS, attack)
    return Group(
        title[0].upper() + title[1:],
        tuple(line for line in lines if line.headline),
        tuple(line for line in lines if not line.headline),
    )


def costs(before: Assessment | None, after: Assessment | None) -> tuple[Cost, ...]:
    """Perplexity, other people's records and the measures beside them; nothing where not measured."""
    if before is None and after is None:
        return ()
    old, new = (a.utility if a else None for a in (before, after))
    return (
        Cost(
            "Perplexity on ordinary text",
            "How surprised the model is by text it should still know; lower is better.",
            _cell(old.perplexity if old else None, "", proportion=False, trials="tokens"),
            _cell(new.perplexity if new else None, "", proportion=False, trials="tokens"),
            _relative(old.perplexity if old else None, new.perplexity if new else None),
        ),
        Cost(
            "Other people's records still given",
            "Records of people who had no part in the erasure. They ought not to change.",
            _cell(old.others if old else None, "", proportion=True),
            _cell(new.others if new else None, "", proportion=True),
            _points(old.others if old else None, new.others if new else None),
        ),
        *(
            _measure(name, *(u.measures.get(name) if u else None for u in (old, new)))
            for name in dict.fromkeys(n for u in (old, new) if u for n in u.measures)
            if not name.startswith(_GROUPS)
        ),
    )


_GROUPS = ("group_loss/", "group_leak/")


def bearings(before: Assessment | None, after: Assessment | None) -> tuple[Bearing, ...]:
    """One for each group of people, the one whose loss rose most first."""
    given = [a.utility.measures if a else {} for a in (before, after)]
    labels = dict.fromkeys(n.split("/", 1)[1] for m in given for n in m if n.startswith(_GROUPS))

    def pair(kind: str, label: str) -> tuple[Estimate | None, Estimate | None]:
        return given[0].get(f"{kind}{label}"), given[1].get(f"{kind}{label}")

    def rise(label: str) -> float:
        old, new = pair(_GROUPS[0], label)
        return new.value - old.value if old and new else -inf

    return tuple(
        Bearing(
            *words.GROUPS.get(label, (label.replace("_", " "), "")),
            _changed(*pair(_GROUPS[0], label), "nats", "people", rising=True),
            _changed(*pair(_GROUPS[1], label), "", "secrets", rising=False),
        )
        for label in sorted(labels, key=lambda label: (-rise(label), label))
    )


def _changed(
    before: Estimate | None, after: Estimate | None, unit: str, trials: str, *, rising: bool
) -> tuple[Cell, Cell, Cell]:
    """Before, after, and the change with its interval; where that is beyond chance it says which way."""
    cells = [_cell(one, unit, proportion=not unit, trials=trials) for one in (before, after)]
    if before is None or after is None:
        return cells[0], cells[1], Cell()
    found, scale, called = difference(before, after), 1 if unit else 100, unit or "points"
    worse = found.low > 0 if rising else found.high < 0
    better = found.high < 0 if rising else found.low > 0
    around = ""
    if isfinite(found.low) and isfinite(found.high):
        ends = (
            change(scale * end, "", digits=2 if unit else 1).strip()
            for end in (found.low, found.high)
        )
        around = " to ".join(ends)
    remark = "worse" if worse else "better" if better else "within chance"
    shown = change(scale * found.value, called, digits=2 if unit else 1)
    return cells[0], cells[1], Cell(shown, around, remark if around else "")


def _measure(name: str, before: Estimate | None, after: Estimate | None) -> Cost:
    """One line of what is shown beside what is judged; one without words keeps its plain numbers."""
    label, note, unit = words.MEASURES.get(name, (name.replace("_", " "), "", ""))
    trials = {"nats": "people", "points": "texts", "%": "tokens"}.get(unit, "trials")
    shown, share = (unit if unit == "nats" else ""), unit == "points"
    changed = NOTHING
    if unit == "nats" and before is not None and after is not None:
        changed = change(after.value - before.value, unit, digits=2)
    elif unit:
        changed = (_points if share else _relative)(before, after)
    cells = [_cell(one, shown, proportion=share, trials=trials) for one in (before, after)]
    return Cost(label, note, cells[0], cells[1], changed)


def _line(attack: str, metric: str, before: Score | None, after: Score | None) -> Line:
    """One metric. A comparison (contrast) stands for both groups at once and needs no control
    column.
    """
    known = after or before
    assert known is not None  # a metric is listed because one of the two has it
    told = words.metric(metric)
    headline = told is None or metric in words.HEADLINES.get(attack, ())
    label, note = told or (metric.replace("_", " "), "")
    if known.contrast is not None:
        row = Row(
            label,
            before.contrast if before else None,
            after.contrast if after else None,
            None,
        )
        return Line(
            label,
            note,
            _cell(row.before, "", proportion=False, trials=known.unit),
            _cell(row.after, "", proportion=False, trials=known.unit),
            Cell("0.5", "a coin toss"),
            row,
            _AUC,
            headline,
        )
    proportion = (
        known.members.hits is not None or metric in words.PROPORTIONS or metric.startswith("el_")
    )
    row = Row(
        label,
        before.members if before else None,
        after.members if after else None,
        known.controls,
    )
    trials = "prompts" if metric in words.PROMPTED else words.UNITS.get(known.unit, known.unit)
    unit = known.unit if known.unit in words.UNITS else ""
    return Line(
        label,
        note,
        _cell(row.before, unit, proportion=proportion, trials=trials),
        _cell(row.after, unit, proportion=proportion, trials=trials),
        _cell(row.control, unit, proportion=proportion, trials=_strangers(known, trials)),
        row,
        _RATE if proportion else Scale(unit or "value"),
        headline,
    )


def _strangers(score: Score, trials: str) -> str:
    """What is behind a control: of a range it is people."""
    return "people, their range" if score.rule is Rule.RANGE else trials


def _cell(
    estimate: Estimate | None, unit: str, *, proportion: bool, trials: str = "trials"
) -> Cell:
    if estimate is None:
        return Cell()
    remark = ""
    if estimate.hits == 0:
        remark = f"one-sided bound: {percent(zero_bound(estimate.trials))}"
    return Cell(
        headline(estimate, unit, proportion=proportion),
        interval(estimate, trials, proportion=proportion),
        remark,
    )


def _relative(before: Estimate | None, after: Estimate | None) -> str:
    if before is None or after is None or not before.value:
        return NOTHING
    return change(100 * (after.value / before.value - 1), "%")


def _points(before: Estimate | None, after: Estimate | None) -> str:
    if before is None or after is None:
        return NOTHING
    return change(100 * (after.value - before.value), "points")
