"""The command `fairness`, of `lethe` and `python -m unlearning`: FairSISA's three ways on a classifier's shards.

Every shard answers yes or no; the table has error and gap of their vote as it is, and of each way to mend it. Given the
shards before and after an erasure it shows what the erasure has cost whom. Half of the texts, drawn by their digests,
is what the programs are fitted on, the other half is held out: what is guaranteed holds on the first.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from domain.errors import Code, RequestRejected
from domain.records import Passage
from domain.secrecy import Secret
from unlearning.assignment import Source
from unlearning.batches import batch_of
from unlearning.encoding import encode
from unlearning.fairness import VARIANTS, Calibration, fitted, majority, odds_gap
from unlearning.manifest import read
from unlearning.models import Kind, LanguageModel, class_number
from unlearning.sharded import load_base, teacher_of
from unlearning.unlearned import seeded

AT_ONCE = 64
PLAIN = "none"


@dataclass(frozen=True)
class Line:
    """One way to answer: shares of wrong answers, and gaps in equalised odds, where fitted and held out.

    Attributes:
        shards: their folder.
        members: how many of them answer.
        variant: a key of `VARIANTS`, or `PLAIN`, the vote as it is.
    """

    shards: str
    members: int
    variant: str
    error_fitted: float
    gap_fitted: float
    error_held_out: float
    gap_held_out: float


def fairness(
    folders: Sequence[Path], sources: Sequence[Source], yes: str, *, device: str = ""
) -> list[Line]:
    """The lines of each model made of shards, in turn.

    Args:
        folders: what `train` wrote, or an erasure has put beside a model.
        sources: texts with their class as label and their group as the only one of `people`.
        yes: name or number of the class that is a yes.
        device: cpu or cuda.

    Raises:
        RequestRejected: MODEL_UNSUPPORTED for shards of another kind of model, or none that is trained;
            EXAMPLES_INVALID for an empty text, one without group or class, a class that the model does not have, or a
            group that lacks one of the answers in a half.
        UnlearningFailed: as `manifest.read`, `load_base` and `teacher_of`.
    """
    ordered = sorted(sources, key=lambda s: _digest(s.text))
    groups = [_group(source) for source in ordered]
    lines = []
    for folder in folders:
        manifest = read(folder)
        base = load_base(manifest, device)
        numbers = [n for n, shard in enumerate(manifest.shards) if shard.files]
        if base.kind is not Kind.CLASSIFIER or not numbers:
            raise RequestRejected(
                Code.MODEL_UNSUPPORTED,
                place=f"the shards {folder.name}",
                remedy="only a classifier answers yes or no, by shards that are trained; name such a folder.",
            )
        wanted = _class_of(yes, base, "the class that is a yes")
        truth = [_class_of(s.label, base, f"{s.reference}, label") == wanted for s in ordered]
        members = [teacher_of(manifest, n, base, base.device.type) for n in numbers]
        votes = torch.stack([answers(m, ordered) == wanted for m in members], dim=1)
        halves = [
            Calibration(votes[part], groups[part], torch.tensor(truth[part]))
            for part in (slice(0, None, 2), slice(1, None, 2))
        ]
        lines += [Line(str(folder), len(members), *cells) for cells in _cells(*halves)]
    return lines


def _cells(here: Calibration, there: Calibration) -> list[tuple[str, float, float, float, float]]:
    """By variant: error and gap where fitted, and held out."""
    plain = [
        (float((vote != texts.labels).double().mean()), odds_gap(vote, texts))
        for texts in (here, there)
        for vote in [majority(texts.votes)]
    ]
    found = [(PLAIN, *plain[0], *plain[1])]
    for variant in VARIANTS:
        fit = fitted(variant, here)
        found.append((variant, fit.error(here), fit.gap(here), fit.error(there), fit.gap(there)))
    return found


@torch.no_grad()
def answers(model: LanguageModel, sources: Sequence[Source]) -> torch.Tensor:
    """The likeliest class of each text, (N,): by the mean logits of its windows where it is longer than the context.

    Raises `RequestRejected` (EXAMPLES_INVALID) for an empty text.
    """
    windows = [
        encode(model, [Passage(s.reference, Secret(s.text), (), "", label=0)]) for s in sources
    ]
    for source, own in zip(sources, windows, strict=True):
        if not own:
            raise RequestRejected(
                Code.EXAMPLES_INVALID,
                place=source.reference,
                remedy="the text is empty, so there is nothing to answer; leave the row out.",
            )
    rows = [row for own in windows for row in own]
    with model.evaluating():
        parts = [
            batch_of(model, rows[n : n + AT_ONCE], seeded(0)).logits(model)[:, 0].cpu()
            for n in range(0, len(rows), AT_ONCE)
        ]
    logits = torch.cat(parts).split([len(own) for own in windows])
    return torch.stack([own.mean(0).argmax() for own in logits])


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _group(source: Source) -> str:
    if len(source.people) != 1:
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=f"{source.reference}, group",
            remedy="each text is of one group; name the field with it, or correct the row.",
        )
    return next(iter(source.people))


def _class_of(written: str, base: LanguageModel, place: str) -> int:
    number = class_number(base, written)
    if number is None:
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=place,
            remedy="it is no class of the model, neither its name nor its number; correct it.",
        )
    return number
