"""The report a data-protection officer hands on: one page, verdict first, nothing loaded from
outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from domain import outcomes
from domain.outcomes import (
    COMPLETES,
    Attempt,
    CaseFile,
    Check,
    Deletion,
    Estimate,
    ModelErasure,
    Outcome,
    Recall,
    deletion,
    in_service,
    until_complete,
)
from reports import charts, words
from reports.commands import COMMANDS
from reports.edited import Picture, picture
from reports.figures import count, headline, interval, percent, plain
from reports.guard import words_of
from reports.limits import LIMITS, limits_for
from reports.measured import (
    Bearing,
    Cell,
    Cost,
    Group,
    bearings,
    costs,
    groups,
    last_measured,
    not_applicable,
)
from reports.statement import on_time, refuse_contradiction

_FOLDER = Path(__file__).parent
_TEMPLATE = "report.html.j2"


@dataclass(frozen=True, slots=True)
class ModelSection:
    """One model's part of the page."""

    model: ModelErasure
    verdict: str
    sentence: str
    kind: str  # exact or approximate, of what is in service
    inexact: str  # why what was tried exactly is not what is in service
    measured: Attempt | None  # the attempt whose numbers stand in the column "after"
    groups: tuple[Group, ...]
    charts: tuple[Markup, ...]
    left_out: tuple[str, ...]  # attacks that do not apply to this model
    costs: tuple[Cost, ...]
    bearings: tuple[Bearing, ...]
    named: bool  # whether the policy names the groups
    picture: Picture | None  # of what that attempt changed inside


@dataclass(frozen=True, slots=True)
class Timeline:
    """The legal month: days from receipt to the end and to the last day."""

    taken: int
    allowed: int
    on_time: bool

    @property
    def share(self) -> int:
        """Position of the end on a line from receipt to the last day, in percent."""
        return min(100, round(100 * self.taken / max(self.allowed, 1)))


def render(case: CaseFile) -> str:
    """The page. The same case gives the same bytes.

    Raises `EvidenceInvalid` when the case claims what its verdicts do not carry.
    """
    refuse_contradiction(case)
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "plain": plain,
        "say": _say,
        "check": words.check,
        "by_outcome": _by_outcome,
        "deletion": _deletion,
    }
    digests = _digests(case)
    return environment.get_template(_TEMPLATE).render(
        case=case,
        headline=words.SUPPRESSED if _suppressed(case) else words.VERDICTS[case.status],
        lead=_lead(case),
        ground=words.say(words.GROUNDS, case.ground),
        timeline=_timeline(case),
        sections=[_section(model) for model in case.models],
        recalled=_recalled(case),
        limits=[(code, LIMITS.get(code, "")) for code in _limit_codes(case)],
        commands=COMMANDS,
        styles=charts,
        digests=digests,
        width=max(len(label) for label, _ in digests),
    )


def _recalled(case: CaseFile) -> list[tuple[str, Cell | None, list[tuple[str, str]]]]:
    """What was found of what was planted beside each corpus, in all and by kind; empty where nobody planted."""
    if all(corpus.recall is None for corpus in case.corpora):
        return []
    return [(corpus.name, *_found(corpus.recall)) for corpus in case.corpora]


def _found(recall: Recall | None) -> tuple[Cell | None, list[tuple[str, str]]]:
    if recall is None:
        return None, []
    kinds = [(k, headline(e, "", proportion=True)) for k, e in sorted(recall.by_kind.items())]
    all_of_it = (show(recall.found, "", proportion=True) for show in (headline, interval))
    return Cell(*all_of_it), kinds


def own_words() -> frozenset[str]:
    """Every word that the product itself writes into evidence, for `guard.refuse_personal_data`."""
    records = Path(outcomes.__file__).parent
    sources = [*_FOLDER.glob("*.j2"), *_FOLDER.glob("*.py"), *records.glob("*.py")]
    return words_of(*(path.read_text("utf-8") for path in sorted(sources)))


def _say(code: str, table: str) -> str:
    return words.say(getattr(words, table), code)


_WORST_FIRST = (Outcome.FAIL, Outcome.NOT_RUN, Outcome.INCONCLUSIVE, Outcome.PASS)


def _by_outcome(checks: Sequence[Check]) -> list[tuple[Outcome, list[Check]]]:
    """The checks by outcome, the worst first, each in the order of the verdict; empty ones left out."""
    found = [(outcome, [c for c in checks if c.outcome is outcome]) for outcome in _WORST_FIRST]
    return [(outcome, some) for outcome, some in found if some]


def _limit_codes(case: CaseFile) -> list[str]:
    """The codes the case names, and those its facts call for even where it does not name them."""
    return sorted(
        {*case.limits, *limits_for(case)},
        key=lambda code: (list(LIMITS).index(code) if code in LIMITS else len(LIMITS), code),
    )


def _digests(case: CaseFile) -> list[tuple[str, str]]:
    """Every digest and commitment of the case, with its label; those that do not exist are left
    out.
    """
    named = [
        ("policy", case.policy_sha256),
        ("person (commitment)", case.subject_commitment),
        ("passages (commitment)", case.spans_commitment),
    ]
    for corpus in case.corpora:
        named.append((f"corpus {corpus.name} before (commitment)", corpus.before_hmac))
        named.append((f"corpus {corpus.name} after, manifest", corpus.after_sha256))
    for model in case.models:
        named.append((f"model {model.name} before, manifest", model.before_sha256))
        named.append((f"model {model.name} after, manifest", model.after_sha256))
        named += [(f"model {model.name} after, {file.path}", file.sha256) for file in model.files]
    return [(label, digest) for label, digest in named if digest]


def _timeline(case: CaseFile) -> Timeline:
    received, finished = (
        date.fromisoformat(moment[:10]) for moment in (case.received_at, case.finished_at)
    )
    due = date.fromisoformat(case.due_on)
    return Timeline((finished - received).days, (due - received).days, on_time(case))


def _lead(case: CaseFile) -> str:
    """What happened, in two or three sentences for somebody who reads nothing else."""
    spans = sum(corpus.spans for corpus in case.corpora)
    documents = sum(corpus.documents for corpus in case.corpora)
    failed = sum(model.outcome is not Outcome.PASS for model in case.models)
    models, corpora = len(case.models), _number(len(case.corpora), "corpus", "corpora")
    removed = (
        f"{_number(spans, 'passage', 'passages')} about this person "
        f"{'was' if spans == 1 else 'were'} taken out of {corpora}"
    )
    if _suppressed(case):
        changed = _number(models, "model was", "models were")
        return (
            f"{removed}, and {changed} changed, one at least only so that it no longer says this "
            "person's data. The attacks that were fixed before the run found no more than the policy "
            "allows, and the policy accepts suppression. The data may still be in the weights."
        )
    if case.status == "fulfilled" and not case.models:
        return f"{removed}. No model in the catalogue was trained on them."
    return {
        "fulfilled": (
            f"{removed}, and {_number(models, 'model was', 'models were')} changed. Afterwards the "
            "attacks that were fixed before the run found no more than the policy allows."
        ),
        "not_erased": (
            f"{removed}, but {failed} of {_number(models, 'model', 'models')} did not pass the "
            "attacks that were fixed before the run. A model that did not pass is not put into "
            "service. The duty to erase stands."
        ),
        "inconclusive": (
            f"{removed}. Whether {_number(failed, 'model', 'models')} forgot cannot be shown with "
            "the measurements at hand. This is not a pass, and the duty to erase stands."
        ),
        "no_match": (
            f"The identifiers of the request do not occur in the {count(documents)} documents of "
            f"{corpora}. No corpus and no model was changed."
        ),
        "withdrawn": (
            "The person took the request back before work began. No corpus was searched and no "
            "model was changed."
        ),
    }[case.status]


def _suppressed(case: CaseFile) -> bool:
    """Whether a model that passed did so by a method that only suppresses."""
    last = [m.attempts[-1].trace for m in case.models if m.attempts and m.outcome is Outcome.PASS]
    return any(trace is not None and trace.deletion is Deletion.SUPPRESSION for trace in last)


def _number(value: int, one: str, many: str) -> str:
    return f"{count(value)} {one if value == 1 else many}"


def _section(model: ModelErasure) -> ModelSection:
    measured = last_measured(model)
    after = measured.after if measured else None
    made = groups(model.before, after)
    return ModelSection(
        model,
        words.say(words.OUTCOMES, model.outcome.value),
        _sentence(model, measured),
        _kind(model),
        _inexact(model),
        measured,
        made,
        _charts(model.name, made),
        not_applicable(model.before, after),
        costs(model.before, after),
        borne := bearings(model.before, after),
        any(one.label not in {label for label, _ in words.GROUPS.values()} for one in borne),
        picture(measured, model.name) if measured else None,
    )


def _deletion(attempt: Attempt) -> str:
    return words.say(words.DELETIONS, deletion(attempt.trace))


def _kind(model: ModelErasure) -> str:
    """Whether what is in service was made exactly, and how long from a drop to the whole; empty without one."""
    served = in_service(model.attempts)
    if model.outcome is not Outcome.PASS or served is None or served.trace is None:
        return ""
    said = f"What is in service is {_deletion(served)}."
    completed = served.reason == COMPLETES
    if served.trace.stopped != "dropped" and not completed:
        return said
    drop = model.attempts[-2] if completed else served
    if drop.verdict is None or drop.verdict.outcome is not Outcome.PASS:
        return said  # nobody was served it
    said += f" The part that held the person was left out after {_seconds(drop.seconds)}"
    expected = until_complete(drop)
    if not completed:
        how_long = (
            "How long that will take cannot be estimated: it is not known how long a step of its training takes."
            if expected is None
            else f"An estimate of how long that will take: about {_seconds(expected)}, from the steps that "
            "are due, how long one took before, and how long the tests took."
        )
        return f"{said}; it is not trained again yet, so that others who were in it are missing too. {how_long}"
    before = "" if expected is None else f" (estimated before: about {_seconds(expected)})"
    return f"{said}; training it again without the person was done {_seconds(served.seconds)} later{before}."


def _inexact(model: ModelErasure) -> str:
    """Why the exact method that was tried is not what is in service; empty where none was, or where it is."""
    tried = [a for a in model.attempts if a.method in words.EXACT]
    if not tried or (model.outcome is Outcome.PASS and in_service(model.attempts) in tried):
        return ""
    why = words.say(words.INEXACT, tried[-1].error)
    return f"Exact deletion was tried first and is not what is in service: {why}."


def _seconds(number: float) -> str:
    return f"{plain(number)} seconds"


def _charts(name: str, made: Sequence[Group]) -> tuple[Markup, ...]:
    """One chart for each scale of what is drawn, in the order of the table."""
    by_scale: dict[charts.Scale, list[charts.Row]] = {}
    for group in made:
        for line in group.drawn:
            by_scale.setdefault(line.scale, []).append(line.row)
    return tuple(
        Markup(charts.intervals(rows, scale, name=f"{name}-{index}"))  # noqa: S704  our own SVG
        for index, (scale, rows) in enumerate(by_scale.items())
    )


def _sentence(model: ModelErasure, measured: Attempt | None) -> str:
    """What the model gave away, as one would tell it: the extraction attack before and after."""
    before = model.before.attack("extraction") if model.before else None
    after = measured.after.attack("extraction") if measured and measured.after else None
    if before is None or not before.scores:
        return "This model was not measured."
    first = before.scores[0]
    told = (
        f"Asked for this person's secrets, it gave them away in {_hits(first.members)} "
        "before the erasure"
    )
    if after is None or not after.scores:
        return f"{told}. No attempt got as far as a measurement."
    last = after.scores[0]
    return (
        f"{told} and in {_hits(last.members)} after it. "
        f"For people it never saw, it guessed right in {_hits(last.controls)}."
    )


def _hits(estimate: Estimate) -> str:
    if estimate.hits is None:
        return percent(estimate.value)
    return f"{count(estimate.hits)} of {_number(estimate.trials, 'try', 'tries')}"
