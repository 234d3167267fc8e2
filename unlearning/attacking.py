"""The attack command: all attacks asked for, on one model; an interruption loses one of them at most."""

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from domain.errors import Code, ErasureError, RequestRejected, Unavailable
from domain.outcomes import AttackResult
from domain.records import Passage, SpanKind
from unlearning import models
from unlearning.attacks import ATTACKS
from unlearning.attacks.groups import require_groups
from unlearning.encoding import Encoded, encode
from unlearning.examples import read_examples
from unlearning.lookalikes import Pool, ranked_among
from unlearning.models import Kind, LanguageModel
from unlearning.results import Results, plain, software
from unlearning.scoring import Target
from unlearning.trial import attack_seed

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CANDIDATES = 127
Report = Mapping[str, Any]


def attack(options: argparse.Namespace) -> list[Report]:
    """Run the attacks; one report each, in the order asked: {attack, scores} or {attack, scores: [], not_run}.

    What `--results` holds for the same model, texts, options, kind of device and software is not run again.
    """
    names = _names(options.attacks)
    device = usable_device(options.device)
    groups = {
        "--examples": read_examples(options.examples),
        "--control": read_examples(options.control),
    }
    others = read_examples(options.neighbours) if options.neighbours else ()
    require_apart(*groups.values())
    digest = models.digest(options.model)[0]
    folders = {"--reference": options.reference or [], "--retrained": [options.retrained],
               "--original": [options.original]}  # fmt: skip
    helpers = {place: [path for path in paths if path] for place, paths in folders.items()}
    digests = {place: [models.digest(p)[0] for p in paths] for place, paths in helpers.items()}
    if digest in digests["--reference"]:
        raise RequestRejected(
            Code.SETTING_INVALID,
            place="--reference",
            remedy="it is the model itself; name models that never saw the person.",
        )
    results = Results.open(options.results)
    inputs = results.digest({**groups, "--neighbours": others})
    common = {
        "model": digest,
        "inputs": inputs,
        "seed": options.seed,
        "dtype": options.dtype,
        "device": torch.device(device).type,
        "software": software(),
        "helpers": digests,
    }
    keys = {n: {**common, "attack": n, "options": dataclasses.asdict(_made(n))} for n in names}
    missing = [name for name in names if results.find(keys[name]) is None]
    reports = {name: results.find(keys[name]) for name in names}
    say = Lines()
    if missing:
        run = _Run.of(
            options, device, groups, others, helpers, attack_seed(options.seed, digest), say
        )
    for name in names:
        if name not in missing:
            say.line(f"{name}: known from {options.results.name}")
            continue
        reports[name] = report = run.one(name)
        if "not_run" not in report:
            results.add(keys[name], report)
    return [report for report in reports.values() if report is not None]


def _names(asked: Sequence[str] | None) -> list[str]:
    for name in asked or ():
        if name not in ATTACKS:
            raise RequestRejected(
                Code.EXAMPLES_INVALID,
                place="--attacks",
                remedy=f"{name} is not one; known are {', '.join(ATTACKS)}.",
            )
    return list(dict.fromkeys(asked or ATTACKS))


def _made(name: str) -> Any:
    return ATTACKS[name]()


@dataclasses.dataclass(frozen=True)
class _Run:
    """A model made ready to be attacked."""

    target: Target
    members: "Watched"
    controls: "Watched"
    say: "Lines"

    @classmethod
    def of(  # noqa: PLR0917  each is one argument of the command
        cls,
        options: argparse.Namespace,
        device: str,
        groups: Mapping[str, Sequence[Passage]],
        others: Sequence[Passage],
        helpers: Mapping[str, Sequence[Path]],
        seed: int,
        say: "Lines",
    ) -> "_Run":
        """Load, check, encode; exposure's candidates have the form of the controls' secrets. Scores every text once."""

        def load(path: Path) -> LanguageModel:
            model = models.load(path, device)
            model.network.to(DTYPES[options.dtype])
            return model

        model = load(options.model)
        rivals = ranked_among(
            Pool.of(groups["--control"], model.tokenizer), CANDIDATES, options.seed
        )
        ours, theirs = (encode(model, group, rivals) for group in groups.values())
        require_groups(ours, theirs)
        people = encode(model, [p for p in others if p.person])
        ordinary = encode(model, [p for p in others if not p.person])
        for place, rows in (*zip(groups, (ours, theirs), strict=True), ("--neighbours", people)):
            require_readable(model, rows, place)
        if {row.key for row in ours} & {row.key for row in (*people, *ordinary)}:
            raise RequestRejected(
                Code.EXAMPLES_INVALID,
                place="--neighbours",
                remedy="the person's own passages are among them; give other people's.",
            )
        loaded = {place: [load(path) for path in paths] for place, paths in helpers.items()}
        target = Target(
            model,
            seed,
            people,
            ordinary,
            references=tuple(loaded["--reference"]),
            retrained=next(iter(loaded["--retrained"]), None),
            original=next(iter(loaded["--original"]), None),
        )
        say.start("scores")
        texts = sorted((*ours, *theirs), key=len)
        for done in range(0, len(texts), _CHUNK):
            with model.evaluating():
                target.scores(texts[done : done + _CHUNK])
            say.progress(min(done + _CHUNK, len(texts)), len(texts))
        say.finish()
        total = len(ours) + len(theirs)
        return cls(
            target, Watched(ours, 0, total, say), Watched(theirs, len(ours), total, say), say
        )

    def one(self, name: str) -> Report:
        """One attack's report. One that does not apply, or measured nothing, is said to be not run."""
        self.say.start(name)
        try:
            result: AttackResult = ATTACKS[name]().run(self.target, self.members, self.controls)
        except ErasureError as error:
            if error.code is not Code.ATTACK_INAPPLICABLE:
                raise
            return self._not_run(name, error.code, error.sentence)
        except torch.OutOfMemoryError:
            raise Unavailable(
                Code.OUT_OF_MEMORY,
                place=f"attack {name}",
                remedy="the device has too little memory; use --dtype bf16, a larger device, or leave the attack out.",
            ) from None
        if not result.scores:
            sentence = f"attack {name}: it found nothing in these texts that it could measure."
            return self._not_run(name, Code.ATTACK_INAPPLICABLE, sentence)
        self.say.finish()
        report: Report = plain(result)
        return report

    def _not_run(self, name: str, code: Code, sentence: str) -> Report:
        self.say.finish(f"not run; {sentence}")
        return {"attack": name, "scores": [], "not_run": {"code": code.value, "sentence": sentence}}


_CHUNK = 32


class Lines:
    """Progress on stderr: one line per step, rewritten on a terminal; elsewhere a line at most every ten seconds."""

    def __init__(self) -> None:
        self._name, self._started, self._shown = "", 0.0, 0.0
        self._rewrites = sys.stderr.isatty()

    def line(self, text: str) -> None:
        """A line that stays."""
        print(text, file=sys.stderr, flush=True)

    def start(self, name: str) -> None:
        """A step begins."""
        self._name = name
        self._started = self._shown = time.monotonic()
        if self._rewrites:
            print(f"{name} ...", end="", file=sys.stderr, flush=True)

    def progress(self, done: int, total: int) -> None:
        """The step has come so far."""
        now = time.monotonic()
        if now - self._shown < (0.2 if self._rewrites else 10):
            return
        self._shown = now
        text = f"{self._name}: passage {done} of {total}, {now - self._started:.0f} s"
        if self._rewrites:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        else:
            self.line(text)

    def finish(self, text: str = "") -> None:
        """The step has ended; by default says how long it took."""
        start = "\r\033[K" if self._rewrites else ""
        self.line(f"{start}{self._name}: {text or f'{time.monotonic() - self._started:.1f} s'}")


class Watched(Sequence[Encoded]):
    """Passages that say how far an attack has come with them; to the attack they are a sequence like any other."""

    def __init__(self, rows: Sequence[Encoded], before: int, total: int, say: Lines) -> None:
        self._rows, self._before, self._total, self._say = rows, before, total, say

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return self._rows[place]

    def __iter__(self) -> Iterator[Encoded]:
        for done, row in enumerate(self._rows, start=self._before + 1):
            self._say.progress(done, self._total)
            yield row


def usable_device(name: str) -> str:
    """The device asked for, or the best there is; raises `RequestRejected` where it cannot be used."""
    asked = name or models.best_device()
    try:
        torch.empty(1, device=asked)
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
    ):  # torch's answers for a device it lacks
        raise RequestRejected(
            Code.SETTING_INVALID,
            place="--device",
            remedy="this machine has no such device; use cpu, or leave it out.",
        ) from None
    return asked


_UNIQUE = frozenset({SpanKind.EMAIL, SpanKind.PHONE, SpanKind.NUMBER})
"""Kinds of which two people hold no equal values; dates and addresses they may."""


def require_apart(members: Sequence[Passage], controls: Sequence[Passage]) -> None:
    """Raise `RequestRejected` where a control is a text of the person's, or holds a value that only the person has.

    A name may be a namesake's, and a date or a house somebody else's too: name and another value are the person.
    """
    texts = {_squeezed(p.text.reveal()) for p in members if p.person}
    values = set(_values(members))
    for control in controls:
        shared = {kind for kind, _ in values & set(_values([control]))}
        same = shared & _UNIQUE or (SpanKind.PERSON in shared and len(shared) > 1)
        if same or _squeezed(control.text.reveal()) in texts:
            raise RequestRejected(
                Code.NO_CONTROLS,
                place=f"the control group, {control.ref}",
                remedy="it overlaps the person's own passages; give passages of people the model never saw.",
            )


def _values(passages: Sequence[Passage]) -> Iterator[tuple[SpanKind, str]]:
    for passage in passages:
        text = passage.text.reveal()
        for span in passage.spans:
            value = "".join(c for c in text[span.start : span.end].casefold() if c.isalnum())
            if len(value) >= _LEAST:
                yield span.kind, value


_LEAST = 5
"""Letters and digits from which a value can be one person's alone."""


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())


def require_readable(model: LanguageModel, rows: Sequence[Encoded], place: str) -> None:
    """Raise `RequestRejected` where the tokenizer writes tokens the model lacks, or knows nothing of a secret."""
    embeddings = model.network.get_input_embeddings().num_embeddings
    unknown = getattr(model.tokenizer, "unk_token_id", None)
    remedy = ""
    said = model.kind is not Kind.CLASSIFIER  # whose answers are classes
    if any(max(row.source + (row.ids if said else ()), default=0) >= embeddings for row in rows):
        remedy = "it has tokens that the model has no embedding for; they do not belong together."
    elif (unknown is not None and said) and any(
        set(row.ids[span.start : span.end]) == {unknown} for row in rows for span in row.spans
    ):
        remedy = f"it turns secrets of {place} into unknown tokens only, so nothing can be asked for; leave them out."
    if remedy:
        raise RequestRejected(Code.MODEL_UNSUPPORTED, place="the model's tokenizer", remedy=remedy)
