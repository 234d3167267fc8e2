"""Whose is it? Documents with two to five people each, through the real search.

    python -m tests.benchmark.detect_mixed

Everybody in a document asks once, with the name alone and then with all identifiers. Each labelled
secret is decided in each of these searches: right where it comes out as the asker's exactly when it
is. Accuracy is over the secrets that the detectors found, in documents in which the index recognised
the asker; nobody's secrets count only where somebody is given them.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from detectors.exact import ExactIndex
from detectors.locate import in_batches, search
from detectors.looking import find
from detectors.presidio import PresidioDetector
from detectors.protocol import Detector
from domain.records import Identifier, IdentifierKind, SensitiveSpan, Subject
from domain.secrecy import Secret
from tests.benchmark.mixed_writer import SETS, Labelled, Mixed, write

KNOWN = {
    "mail": IdentifierKind.EMAIL,
    "phone": IdentifierKind.PHONE,
    "work": IdentifierKind.PHONE,
    "home": IdentifierKind.ADDRESS,
    "born": IdentifierKind.BIRTH_DATE,
    "record": IdentifierKind.RECORD_ID,
    "ssn": IdentifierKind.RECORD_ID,
}
RIGHT = "right"
TAKEN = "another's, taken for the asker's"
GIVEN = "the asker's, given to another"
UNCERTAIN = "left uncertain"
NOT_FOUND = "not found"
UNNAMED = "the asker's name not recognised"
NOBODYS = "nobody's, left alone"
ERRORS = (TAKEN, GIVEN, UNCERTAIN, NOT_FOUND, UNNAMED)


@dataclass
class Outcome:
    """How the labelled secrets were decided, by kind of document."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    own: Counter[str] = field(default_factory=Counter)
    misses: list[tuple[str, str, str, str]] = field(default_factory=list, repr=False)

    def add(self, kind: str, decided: str, *, own: bool) -> None:
        self.counts.setdefault(kind, Counter())[decided] += 1
        self.own[decided] += own

    @property
    def total(self) -> Counter[str]:
        return sum(self.counts.values(), Counter())

    def share(self, *decided: str) -> float:
        """Of the secrets that were found."""
        return _share(self.total, decided)

    def report(self) -> dict[str, float]:
        return {
            "accuracy": self.share(RIGHT),
            "wrong": self.share(TAKEN, GIVEN),
            "uncertain": self.share(UNCERTAIN),
            "askers_own_right": _share(self.own, (RIGHT,)),
        }


def _share(counts: Counter[str], decided: Sequence[str]) -> float:
    found = counts.total() - counts[NOT_FOUND] - counts[UNNAMED] - counts[NOBODYS]
    return sum(counts[d] for d in decided) / found


def detectors() -> dict[str, Detector]:
    return {"exact": ExactIndex(), "presidio": PresidioDetector()}


def measure(written: Sequence[Mixed], searchers: Mapping[str, Detector], *, known: bool) -> Outcome:
    """Everybody asks; what comes out for their own document counts."""
    outcome = Outcome()
    asked = [
        (mixed, number, _subject(mixed, number, known=known))
        for mixed in written
        for number in range(len(mixed.people))
    ]
    batches = in_batches(mixed.document for mixed in written)
    found = search(batches, [subject for _, _, subject in asked], searchers)
    for (mixed, number, subject), located in zip(asked, found, strict=True):
        mine, others = (
            [s for s in spans if s.document == mixed.document.ref]
            for spans in (located.spans, located.others)
        )
        seen = [s for n, d in searchers.items() for s in find(n, d, mixed.document, subject)]
        for secret in mixed.secrets:
            decided = _decided(secret, number, mine, others, seen) if mine else UNNAMED
            outcome.add(mixed.kind, decided, own=secret.owner == number)
            if decided not in {RIGHT, NOBODYS}:
                text = mixed.document.text.reveal()
                value = text[secret.start : secret.end]
                outcome.misses.append((decided, mixed.people[number].name, value, text))
    return outcome


def _decided(
    secret: Labelled,
    asker: int,
    mine: Sequence[SensitiveSpan],
    others: Sequence[SensitiveSpan],
    seen: Sequence[SensitiveSpan],
) -> str:
    own = secret.owner == asker
    if _touched(mine, secret):
        return RIGHT if own else TAKEN
    if secret.owner is None:
        return NOBODYS
    if _touched(others, secret):
        return GIVEN if own else RIGHT
    return UNCERTAIN if _touched(seen, secret) else NOT_FOUND


def _subject(mixed: Mixed, number: int, *, known: bool) -> Subject:
    values = mixed.people[number].values
    asked = [(IdentifierKind.NAME, values["name"])]
    if known:
        asked += [(kind, values[slot]) for slot, kind in KNOWN.items()]
    identifiers = tuple(Identifier(kind, Secret(value)) for kind, value in asked)
    return Subject(f"{mixed.document.ref}-{number}", identifiers)


def _touched(spans: Sequence[SensitiveSpan], secret: Labelled) -> bool:
    return any(s.start < secret.end and secret.start < s.end for s in spans)


def tables(
    count: int, seed: int, *, sets: Sequence[str] = SETS, show: int = 0
) -> dict[str, dict[str, float]]:
    """Print the tables of errors; the shares by set and kind of request."""
    reports: dict[str, dict[str, float]] = {}
    searchers = detectors()
    for which, label, outcome in _outcomes(count, seed, sets, searchers):
        reports[f"{which}, {label}"] = outcome.report()
        print(f"\n{which} frames, {count} documents, the request says {label}\n")
        print(f"| kind of document | secrets | right | {' | '.join(ERRORS)} |")
        print("|---" * (3 + len(ERRORS)) + "|")
        for kind, counts in [*sorted(outcome.counts.items()), ("all", outcome.total)]:
            cells = " | ".join(str(counts[error]) for error in ERRORS)
            asked = counts.total() - counts[NOBODYS]
            print(f"| {kind} | {asked} | {counts[RIGHT]} | {cells} |")
        shares = "  ".join(f"{name} {share:.4f}" for name, share in outcome.report().items())
        print(f"\n{shares}", flush=True)
        if which == SETS[0]:  # nobody looks at the others
            for miss in outcome.misses[:show]:
                print("\n{} | asker {} | {}\n{}".format(*miss))
    return reports


def _outcomes(
    count: int, seed: int, sets: Sequence[str], searchers: Mapping[str, Detector]
) -> Iterator[tuple[str, str, Outcome]]:
    for which in sets:
        written = write(which, count, seed)
        for label, known in {"name": False, "everything": True}.items():
            yield which, label, measure(written, searchers, known=known)


def main() -> None:
    """Write, search, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=500, help="of each set of frames")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", choices=SETS, help="of frames; by default both")
    parser.add_argument("--show", type=int, default=0, help="errors of the development set")
    arguments = parser.parse_args()
    sets = (arguments.set,) if arguments.set else SETS
    tables(arguments.documents, arguments.seed, sets=sets, show=arguments.show)


if __name__ == "__main__":
    main()
