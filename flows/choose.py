"""Which methods to try on a model, in which order, and which of the policy's conditions let them in."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from flows.policy import MethodRule, Policy


@dataclass(frozen=True, slots=True)
class Facts:
    """What the conditions of a method look at."""

    architecture: str
    shards: Literal["", "teachers", "model"]  # no manifest; one of teachers, or of the model
    spans: int
    seconds_spent: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A method, with the code of the reason why it is taken or left out."""

    rule: MethodRule
    reason: str


def choose(policy: Policy, facts: Facts, tried: AbstractSet[str] = frozenset()) -> list[Choice]:
    """The untried methods whose conditions hold, in the policy's order; empty when none does."""
    rules = [
        rule
        for rule in policy.methods.order
        if rule.name not in tried and not _obstacle(policy, rule, facts)
    ]
    return [
        Choice(rule, "next_in_policy" if place or tried else "first_in_policy")
        for place, rule in enumerate(rules)
    ]


def left_out(policy: Policy, facts: Facts) -> list[Choice]:
    """The methods whose conditions do not hold, each with the first that does not."""
    obstacles = ((rule, _obstacle(policy, rule, facts)) for rule in policy.methods.order)
    return [Choice(rule, obstacle) for rule, obstacle in obstacles if obstacle]


def _obstacle(policy: Policy, rule: MethodRule, facts: Facts) -> str:
    left = policy.methods.budget_seconds - facts.seconds_spent
    when = rule.when
    if facts.architecture not in when.architectures:
        return "architecture"
    if when.shards is not None and when.shards != (facts.shards == "model"):
        return "shards"
    if when.teachers is not None and when.teachers != bool(facts.shards):
        return "teachers"
    if when.max_spans is not None and facts.spans > when.max_spans:
        return "spans"
    if left <= 0 or (when.budget_seconds is not None and left < when.budget_seconds):
        return "budget"
    return ""
