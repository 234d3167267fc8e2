"""What was measured and decided: estimates, attack results, verdicts, attempts. Numbers, enums and digests only.

None of these records can hold text from data, so all of them may be logged, stored and signed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """The answer of one check, and of the whole verdict."""

    PASS = "PASS"  # noqa: S105  an outcome
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_RUN = "NOT_RUN"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval and the number of trials behind it. `hits` is set for rates only."""

    value: float
    low: float
    high: float
    trials: int
    hits: int | None = None


class Rule(StrEnum):
    """How the verdict reads a score."""

    SHOWN = "shown"  # measured and shown, never judged
    RATE = "rate"  # no more than the upper end of the strangers' interval
    FIRST = "first"  # no more than the strangers' rate, by Fisher's exact test
    RANGE = "range"  # no further than the end of the strangers' range
    CONTRAST = "contrast"  # the AUC's interval reaches the middle band, from either side


@dataclass(frozen=True, slots=True)
class Score:
    """One metric on the person (`members`) and on people the model never saw (`controls`).

    `contrast` compares the two groups where the metric is a comparison (membership: AUC, 0.5 means that the groups
    cannot be told apart). `rule` says how it is judged; `controls.high` of a RANGE is the end of the strangers' range.
    """

    metric: str
    unit: str
    members: Estimate
    controls: Estimate
    contrast: Estimate | None = None
    rule: Rule = Rule.SHOWN


@dataclass(frozen=True, slots=True)
class AttackResult:
    """What one attack measured on one model."""

    attack: str
    scores: tuple[Score, ...]

    def score(self, metric: str) -> Score:
        """The score of that name; `KeyError` when the attack did not measure it."""
        for score in self.scores:
            if score.metric == metric:
                return score
        raise KeyError(metric)


@dataclass(frozen=True, slots=True)
class Utility:
    """What erasing cost: perplexity on retained text (nats-based, per token), and how many secrets of people who
    were in no loss the model still gives, which ought not to change.

    These two are judged. `measures` are shown beside them, by name: what else could have become worse.
    """

    perplexity: Estimate
    others: Estimate
    measures: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything measured on one model: which model (digest of its weights), attacks, utility.

    `silent` says that it is one that says no text, a classifier: what asks for text does not apply to it.
    """

    model_sha256: str
    attacks: tuple[AttackResult, ...]
    utility: Utility
    seconds: float
    shape_sha256: str = ""  # of the names and shapes of the weights: a smaller model has another
    silent: bool = False

    def attack(self, name: str) -> AttackResult | None:
        """The result of that attack, or None when it was not run."""
        return next((a for a in self.attacks if a.attack == name), None)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a verdict: what was measured, against which bound, and why it came out so."""

    name: str
    outcome: Outcome
    measured: float
    bound: float
    reason: str


GATES = ("memorised_before", "enough_trials")
"""Checks without which a pass would say nothing: the verdict is INCONCLUSIVE where one of them is not passed."""
UTILITY = ("perplexity", "others")
"""Checks of what else became worse; that they are passed says nothing about the person."""
DELETION = "deletion"
"""The check of a method that only suppresses, where the policy wants more: no pass rests on such a model."""


def carries_a_pass(checks: Iterable[tuple[str, str]]) -> bool:
    """Whether a verdict of PASS may rest on these (name, outcome) pairs.

    Nothing failed or was left out, every gate is passed, and so is a check of some attack. One that had no power is
    INCONCLUSIVE; a pass does not rest on it, and it does not stand in the way.
    """
    found = list(checks)
    passed = {name for name, outcome in found if outcome == Outcome.PASS}
    broken = {outcome for _, outcome in found} - {Outcome.PASS, Outcome.INCONCLUSIVE}
    suppressed = any(name == DELETION and outcome != Outcome.PASS for name, outcome in found)
    return not (broken or suppressed) and passed >= set(GATES) and bool(passed - {*GATES, *UTILITY})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst of its checks (see `carries_a_pass`); an empty list of checks is FAIL."""

    outcome: Outcome
    checks: tuple[Check, ...]

    @property
    def hindered_by(self) -> tuple[str, ...]:
        """The checks for which it is no pass: those that failed or were not run, or the gates that are not passed."""
        failed = {c.name for c in self.checks if c.outcome in {Outcome.FAIL, Outcome.NOT_RUN}}
        gates = {c.name for c in self.checks if c.outcome is not Outcome.PASS} & {*GATES, DELETION}
        return tuple(c.name for c in self.checks if c.name in (failed or gates))


class Deletion(StrEnum):
    """What a method's model is, by how it was made."""

    EXACT = "exact"  # one that was never trained on the person
    APPROXIMATE = "approximate"  # one that was, and behaves as if it had not been
    SUPPRESSION = "suppression"  # one that learnt not to say it; nothing was taken out of it


@dataclass(frozen=True, slots=True)
class Layer:
    """One block of a model, as a method that edits sees it.

    `mass` is the block's share of all that makes the model say the secrets, None where nobody measured it; `edited` is
    how many of its `pieces` were changed.
    """

    mass: float | None
    edited: int
    pieces: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Where a method changed a model, in counts; which pieces they were stands in the trace as a digest.

    `gap` is how far the masses are from the effect that they explain, as a share of it. `outside` is what belongs to no
    block: the tables of words, the last norm.
    """

    unit: str  # what the pieces are: "neurons", "vectors"
    layers: tuple[Layer, ...]  # in the order in which the model reads
    gap: float | None = None
    outside: Layer | None = None

    @property
    def edited(self) -> int:
        """How many pieces were changed in all."""
        return sum(layer.edited for layer in (*self.layers, self.outside) if layer)

    @property
    def pieces(self) -> int:
        """How many there are in all."""
        return sum(layer.pieces for layer in (*self.layers, self.outside) if layer)


@dataclass(frozen=True, slots=True)
class Trace:
    """How a method ran. `steps` are rows of numbers (loss terms by name); free of personal data."""

    method: str
    steps: tuple[Mapping[str, float], ...]
    stopped: str  # "target", "steps", "selected", "dropped": which rule ended it
    seconds: float
    facts: Mapping[str, float] = field(
        default_factory=dict
    )  # e.g. how many neurons, backward passes
    digests: Mapping[str, str] = field(
        default_factory=dict
    )  # e.g. of what was edited, never its values
    deletion: Deletion = Deletion.APPROXIMATE
    edit: Edit | None = None  # of methods that change a part of the model


def deletion(trace: Trace | None) -> str:
    """The word for what a method did; nothing where it did not get that far."""
    return "" if trace is None else trace.deletion.value


@dataclass(frozen=True, slots=True)
class Attempt:
    """One method tried on one model. Failed ones stay in the evidence.

    `error` is the code of the `ErasureError` that ended it, empty when it ran through; `after` and `verdict` are None
    when it did not get that far.
    """

    number: int
    method: str
    options_sha256: str
    reason: str  # which rule of the policy chose it
    seconds: float
    error: str = ""
    trace: Trace | None = None
    after: Assessment | None = None
    verdict: Verdict | None = None


COMPLETES = "completes_drop"
"""Why an attempt was made that trains again, without the person, what the one before had dropped at once."""


RETRAIN_ESTIMATED = "retrain_seconds_estimated"
"""The fact in a drop's trace that says how long training the dropped shards again will take, by estimate."""


def until_complete(dropped: Attempt) -> float | None:
    """Seconds that an attempt is estimated to take which trains again what this one dropped; None when nothing is due,
    or nobody knows how long a step takes.

    It does all that the drop did, the tests among it, and trains.
    """
    training = dropped.trace.facts.get(RETRAIN_ESTIMATED) if dropped.trace else None
    return None if training is None else dropped.seconds + training


def in_service(attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt that decides about a model: the last; before one that only completes it, where that did not pass."""
    if len(attempts) > 1 and attempts[-1].reason == COMPLETES:
        verdict = attempts[-1].verdict
        return attempts[-1 if verdict and verdict.outcome is Outcome.PASS else -2]
    return attempts[-1] if attempts else None


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file of an artefact: path relative to its root, size in bytes, SHA-256 of its bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Recall:
    """How many made-up people's planted data a search found, in all and by what they were.

    The kinds are those of `IdentifierKind`, for what the request names, and "beside" for data that it does not name.
    """

    found: Estimate
    by_kind: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class CorpusErasure:
    """What was found in one corpus and taken out of its redacted copy.

    `after_sha256` is the digest of the copy's manifest. `before_hmac` commits to the original under the request's own
    key, which is later destroyed: a plain hash of the original could be guessed back. `recall` is None where nobody
    measured it.
    """

    name: str
    documents: int
    candidates: int
    spans: int
    uncertain: int
    by_kind: Mapping[str, int]
    after_sha256: str
    before_hmac: str
    files: tuple[FileDigest, ...]
    seconds: float
    recall: Recall | None = None


@dataclass(frozen=True, slots=True)
class ModelErasure:
    """What happened to one model. `after_*` and `version` are empty unless a verdict was PASS."""

    name: str
    before_sha256: str
    before: Assessment | None
    attempts: tuple[Attempt, ...]
    outcome: Outcome
    reason: str
    after_sha256: str = ""
    files: tuple[FileDigest, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """All that the evidence and the report of one request are made from."""

    request_ref: str
    status: str  # domain.lifecycle.Status of the end
    ground: str  # Article 17(1) letter
    received_at: str  # RFC 3339, UTC
    due_on: str  # date
    finished_at: str  # RFC 3339, UTC
    policy_sha256: str
    subject_commitment: str  # HMAC under the request's key
    spans_commitment: str  # HMAC under the request's key
    corpora: tuple[CorpusErasure, ...]
    models: tuple[ModelErasure, ...]
    software: Mapping[str, str]  # package -> version
    limits: tuple[str, ...]  # codes of what is not proven
