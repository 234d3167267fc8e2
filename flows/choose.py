"""Which methods to try on a model, in which order, and which of the policy's conditions let them in."""

from dataclasses import dataclass
from typing import Literal

from flows.policy import MethodRule, Policy


@dataclass(frozen=True, slots=True)
class Facts:
    """What the conditions of a method look at."""

    architecture: Literal["causal", "masked"]
    teachers: bool
    spans: int
    seconds_spent: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A method with the reason, as a code: `rule_<place in the order>`, or why it was left out."""

    rule: MethodRule
    reason: str


def choose(policy: Policy, facts: Facts) -> list[Choice]:
    """The methods whose conditions hold, in the policy's order; empty when none does."""
    return [
        Choice(rule, f"rule_{place}")
        for place, rule in enumerate(policy.methods.order, start=1)
        if not _obstacle(policy, rule, facts)
    ]


def left_out(policy: Policy, facts: Facts) -> list[Choice]:
    """The other methods, each with the first condition that does not hold."""
    obstacles = ((rule, _obstacle(policy, rule, facts)) for rule in policy.methods.order)
    return [Choice(rule, obstacle) for rule, obstacle in obstacles if obstacle]


def _obstacle(policy: Policy, rule: MethodRule, facts: Facts) -> str:
    left = policy.methods.budget_seconds - facts.seconds_spent
    when = rule.when
    if facts.architecture not in when.architectures:
        return "architecture"
    if when.teachers is not None and when.teachers != facts.teachers:
        return "teachers"
    if when.max_spans is not None and facts.spans > when.max_spans:
        return "spans"
    if left <= 0 or (when.budget_seconds is not None and left < when.budget_seconds):
        return "budget"
    return ""
