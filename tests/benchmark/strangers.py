"""How well made-up people stand for people whom a model never saw: the verdict compares with nobody else.

    python -m tests.benchmark.strangers          (minutes; --towns 8 --people 6)

A person whom the model never read is a stranger to it, so that strangers made of that person ought to look alike: all
differences of the table are the person's less the strangers' mean, and zero is right. Towns are small models
(`tests.tiny`) and their unread people; beside them what `anchor_distillation` leaves of somebody whom the model knew.
LUME's people stand in the table where the model of `make lume` is there, which has read the first hundred. The rows
of a base are of a model that knows the words and nobody of a small corpus: as a pretrained one does, before it is
trained on that corpus.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from domain.records import Passage
from domain.secrecy import Secret
from tests import tiny
from tests.benchmark import lume, methods_lume
from tests.benchmark.verdict_power import POLICY, STEPS
from unlearning import models
from unlearning.attacks import ATTACKS
from unlearning.attacks.exposure import exposure
from unlearning.attacks.groups import secrets
from unlearning.encoding import Encoded
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial, assess, prepare

RESULTS = Path("out/strangers.json")
READ = 70
"""Of LUME's retain part, by the model of `make lume`."""
FIXED = frozenset({"exposure", "beyond", "secret_loss", "stands_out"})
"""Of a row; the rest are exposures by kind."""
Row = dict[str, float]


def towns(count: int, people: int) -> Iterator[tuple[str, Row]]:
    """Unread people of each town, and in each the first person, after a method."""
    for number in range(count):
        place = tiny.town(seed=100 + number)
        victim = tiny.victim(place, steps=STEPS, seed=number)
        others = [p for n, x in enumerate(place.known[1:], 1) for p in tiny.passages(x, f"p{n}")]
        sentences = tiny.sentences(place)
        for n, person in enumerate(place.unknown[:people]):
            unread = _trial(victim, tiny.passages(person, "unread"), others, sentences, n)
            yield "towns, unread", gaps(victim, unread)
        known = _trial(victim, tiny.passages(place.known[0], "p0"), others, sentences, number)
        left = METHODS["anchor_distillation"]().unlearn(victim, known.corpus).model
        yield "towns, `anchor_distillation`", gaps(left, known)
        print(f"town {number + 1} of {count}", file=sys.stderr, flush=True)


def small_corpora(count: int) -> Iterator[tuple[str, Row]]:
    """A corpus of eight people, whom a base that has read sixty others does not know: with and without those sixty."""
    read = tiny.town(60, seed=4)
    shown = [p for n, x in enumerate(read.known) for p in tiny.passages(x, f"q{n}")]
    for number in range(count):
        place = tiny.town(8, seed=200 + number)
        base = tiny.base(place, read, seed=number)
        people = [tiny.passages(x, f"p{n}") for n, x in enumerate(place.known)]
        for n, person in enumerate(people[:4]):
            rest = [p for other in people if other is not person for p in other]
            for who, others in (
                ("a base, strangers made of 7 others", rest),
                ("a base, strangers made of 7 others and the 60 it has read", rest + shown),
            ):
                trial = _trial(base, person, others, tiny.sentences(place), n)
                yield who, gaps(base, trial)
        print(f"corpus {number + 1} of {count}", file=sys.stderr, flush=True)


def unread_of_lume(count: int) -> Iterator[tuple[str, Row]]:
    """People of LUME's whom the model of `make lume` did not read."""
    folder = lume.OUT / "model"
    if not folder.is_dir() or not lume.DATA.is_dir():
        return
    model = models.load(folder)
    forget, retain = lume.read_people("forget")[: lume.FORGET], lume.read_people("retain")
    sentences = [
        Passage(f"o.jsonl#{n}", Secret(text), (), "")
        for n, text in enumerate(lume.ordinary_pieces(lume.PIECES))
    ]
    known = [p for person in _people([*forget, *retain[:READ]]) for p in person.passages()]
    for n, person in enumerate(_people(retain[READ:])):
        if n == count:
            return
        yield "LUME, unread", gaps(model, _trial(model, person.passages(), known, sentences, n))
        print(f"person {n + 1} of {count}", file=sys.stderr, flush=True)


def _people(
    tasks: Sequence[Mapping[str, tuple[str, str]]],
) -> Iterator[methods_lume.Person]:
    for number, task in enumerate(tasks):
        person = methods_lume.read_person(f"p{number:03d}", task)
        if person is not None:
            yield person


def _trial(
    model: LanguageModel,
    members: Sequence[Passage],
    others: Sequence[Passage],
    sentences: Sequence[Passage],
    seed: int,
) -> Trial:
    return prepare(
        model, members, others, sentences, seed=seed, controls=POLICY.comparison.controls
    )


def gaps(model: LanguageModel, trial: Trial) -> Row:
    """The person's numbers less the made-up people's mean, or less the end of their range; exposure by kind as well."""
    tried = {name: ATTACKS[name]() for name in ("exposure", "membership")}
    seen = assess(model, "0" * 64, trial, tried)
    scores = {score.metric: score for result in seen.attacks for score in result.scores}
    found = {
        name: scores[name].members.value - scores[name].controls.value
        for name in ("exposure", "secret_loss")
    }
    bits, stands = scores["exposure"], scores["stands_out"]
    found["beyond"] = float(bits.members.value > bits.controls.high)
    found["stands_out"] = stands.members.value - stands.controls.high
    ours, theirs = by_kind(model, trial.members), by_kind(model, trial.controls)
    return found | {kind: ours[kind] - theirs[kind] for kind in ours.keys() & theirs.keys()}


def by_kind(model: LanguageModel, rows: Sequence[Encoded]) -> Row:
    """Mean bits of exposure of each kind of secret."""
    target, found = Target(model), dict[str, list[float]]()
    with model.evaluating():
        for _, row, span in secrets(rows):
            if len(span.candidates) >= 15:
                found.setdefault(span.kind.value, []).append(exposure(target, row, span).bits)
    return {kind: fmean(bits) for kind, bits in found.items()}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--towns", type=int, default=8)
    parser.add_argument("--people", type=int, default=6, help="unread, of each town")
    parser.add_argument("--small", type=int, default=3, help="small corpora, four people of each")
    parser.add_argument("--lume", type=int, default=12, help="unread people of LUME's")
    options = parser.parse_args()
    groups: dict[str, list[Row]] = {}
    for who, row in (
        *towns(options.towns, options.people),
        *small_corpora(options.small),
        *unread_of_lume(options.lume),
    ):
        groups.setdefault(who, []).append(row)
    print(
        "\n| who | people | exposure, bits | beyond the range | secret loss, nats | past the outliers' range "
        "| exposure by kind |\n|---|---|---|---|---|---|---|"
    )
    for who, rows in groups.items():
        beyond = f"{sum(row['beyond'] for row in rows):.0f}"
        past = sum(row["stands_out"] > 0 for row in rows)
        kinds = sorted({k for row in rows for k in row} - FIXED)
        each = ", ".join(f"{k} {fmean(r[k] for r in rows if k in r):+.2f}" for k in kinds)
        print(
            f"| {who} | {len(rows)} | {_mean(rows, 'exposure')} | {beyond} | {_mean(rows, 'secret_loss')} "
            f"| {past} | {each} |"
        )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(groups, indent=2) + "\n")
    print(f"\nwritten to {RESULTS}")


def _mean(rows: Sequence[Row], key: str) -> str:
    """With its standard error."""
    values = [row[key] for row in rows]
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{fmean(values):+.2f} ± {error:.2f}"


if __name__ == "__main__":
    main()
