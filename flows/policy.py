"""What the data-protection officer decides: policy.yaml, read once, frozen, named by its SHA-256."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

import holidays
import rfc8785
from pydantic import AfterValidator, Field, JsonValue, model_validator

from domain.errors import Code
from flows.reading import Strict, read_yaml, validated

Options = dict[str, JsonValue]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone; write one like Europe/Berlin") from None
    return name


class Deadlines(Strict):
    """The clock: whose holidays, which zone, and how early we want to be done."""

    country: str = Field(pattern=r"^[A-Z]{2}$")
    subdivision: str | None = None
    timezone: Annotated[str, AfterValidator(_known_zone)]
    target_days: int = Field(ge=1, le=28)

    @model_validator(mode="after")
    def _known_holidays(self) -> Self:
        try:
            holidays.country_holidays(self.country, subdiv=self.subdivision)
        except NotImplementedError:  # what the library says of a place it does not know
            raise ValueError(
                "no public holidays are known for this country, or for this part of it"
            ) from None
        return self


class Retention(Strict):
    """How long the request itself is kept after its end. Then its key is destroyed and nobody can read it."""

    request_days: int = Field(ge=0, le=3650)


class Recall(Strict):
    """How many data of made-up people are planted beside each corpus, to see how many the search finds; 0: none are,
    and the report says that nobody measured it.
    """

    planted: int = Field(ge=0, le=100_000)


class Redaction(Strict):
    """What stands in the corpus copy where the person's data stood."""

    mark: str = Field(min_length=1, max_length=40)


class Groups(Strict):
    """Groups of people for which loss and leak are reported: a field of the corpus rows, and the values that count.

    A row with another value, and a person whose rows disagree, is in no group. Nobody's group is guessed.
    """

    field: str = Field(min_length=1)
    values: tuple[Word, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _ours(self) -> Self:
        if taken := sorted({"alike", "unlike"} & set(self.values)):
            raise ValueError(f"{taken[0]} is what the report calls groups of its own; name another")
        return self


class Comparison(Strict):
    """Whom the person is compared with."""

    neighbours: int = Field(ge=2)  # other people of the corpus
    ordinary: int = Field(ge=1)  # passages without personal data
    controls: int = Field(ge=1)  # people whom the model never saw
    groups: Groups | None = None  # without: people like this one, and everybody else


Architecture = Literal["causal", "masked", "seq2seq", "classifier"]
"""The kinds of model, as `unlearning.models.Kind` has them, which takes torch to import."""


class When(Strict):
    """The conditions of a method; one that is left out always holds."""

    architectures: tuple[Architecture, ...] = ("causal", "masked", "seq2seq", "classifier")
    shards: bool | None = None  # True: only where the model is made of shards
    teachers: bool | None = None  # True: only where these or other shard teachers exist
    max_spans: int | None = Field(default=None, ge=1)
    budget_seconds: float | None = Field(default=None, gt=0)  # only while that much is left


class MethodRule(Strict):
    """One line of the order of methods."""

    name: Word
    when: When = When()
    options: Options = Field(default_factory=dict)


class Methods(Strict):
    """The order in which methods are tried, and how long all of them may take together for one model.

    `suppression` says whether a method that only keeps the model from saying the person's data (`quark`) may pass. The
    data stay in its weights; the evidence and the report call it suppression.
    """

    budget_seconds: float = Field(gt=0)
    suppression: bool = False
    order: tuple[MethodRule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        names = [rule.name for rule in self.order]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]} stands in the order twice; keep one")
        return self


class Policy(Strict):
    """The whole file. There is no default for anything that decides whether a person's data was erased."""

    version: Literal[1]
    deadlines: Deadlines
    retention: Retention
    detectors: dict[Word, Options] = Field(min_length=1)
    recall: Recall = Recall(planted=0)
    redaction: Redaction
    comparison: Comparison
    methods: Methods
    attacks: dict[Word, Options] = Field(min_length=1)
    thresholds: dict[Word, float] = Field(min_length=1)
    utility: dict[Word, float] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_bound_twice(self) -> Self:
        if twice := sorted(self.thresholds.keys() & self.utility.keys()):
            raise ValueError(f"{twice[0]} stands under thresholds and under utility; keep one")
        return self

    def sha256(self) -> str:
        """SHA-256 of the policy as RFC 8785 JSON: comments and order of keys do not change it, a value does."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()


def load_policy(path: Path) -> Policy:
    """Read policy.yaml. Raises `RequestRejected` (POLICY_INVALID) with one sentence that names the key."""
    value = read_yaml(path, Code.POLICY_INVALID, setting="LETHE_POLICY")
    return validated(Policy, value, name=path.name, code=Code.POLICY_INVALID)
