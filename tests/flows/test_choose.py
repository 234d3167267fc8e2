"""Which methods the policy lets in, by facts."""

import pytest

from flows.choose import Facts, choose, left_out

FACTS = Facts(architecture="causal", shards="", spans=10, seconds_spent=0)
RULES = [
    {"name": "loo_ensemble", "when": {"teachers": True}},
    {"name": "selective_ascent", "when": {"architectures": ["causal"], "max_spans": 100}},
    {"name": "depn", "when": {"budget_seconds": 60}},
]


@pytest.fixture
def policy(home):
    value = home.policy.model_dump()
    value["methods"] = {"budget_seconds": 100, "order": RULES}
    return type(home.policy).model_validate(value)


@pytest.mark.parametrize(
    ("facts", "chosen"),
    [
        (FACTS, ["selective_ascent", "depn"]),
        (
            Facts("causal", "teachers", 10, 0),
            ["loo_ensemble", "selective_ascent", "depn"],
        ),
        (Facts("masked", "", 10, 0), ["depn"]),
        (Facts("classifier", "", 10, 0), ["depn"]),
        (Facts("causal", "", 101, 0), ["depn"]),
        (Facts("causal", "", 10, 50), ["selective_ascent"]),
        (Facts("causal", "model", 10, 100), []),
    ],
)
def test_methods_come_in_the_order_of_the_policy_when_their_conditions_hold(policy, facts, chosen):
    assert [choice.rule.name for choice in choose(policy, facts)] == chosen


def test_a_method_is_tried_once_and_the_reason_says_which_came_first(policy):
    first, second = choose(policy, FACTS)
    assert (first.reason, second.reason) == ("first_in_policy", "next_in_policy")
    assert choose(policy, FACTS, frozenset({"selective_ascent"})) == [second]


def test_an_exact_method_goes_first_where_there_is_a_manifest_of_the_model(home):
    first = {
        kind: choose(home.policy, Facts("causal", kind, 10, 0))[0].rule.name
        for kind in ("", "teachers", "model")
    }
    assert first["model"] == "sisa"
    assert first[""] == first["teachers"] != "sisa"
    out = left_out(home.policy, Facts("causal", "", 10, 0))
    assert {choice.rule.name: choice.reason for choice in out}["sisa"] == "shards"


def test_a_method_that_is_left_out_says_why(policy):
    out = left_out(policy, Facts("masked", "", 10, 50))
    reasons = {choice.rule.name: choice.reason for choice in out}
    assert reasons == {
        "loo_ensemble": "teachers",
        "selective_ascent": "architecture",
        "depn": "budget",
    }
