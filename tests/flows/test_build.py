"""Names and options of the policy become objects once; a wrong one is refused by its key."""

import pytest

from domain.errors import Code, RequestRejected
from flows import build


def edited(policy, **changes):
    return type(policy).model_validate(policy.model_dump() | changes)


def test_everything_in_the_policy_of_the_repository_can_be_built(home):
    build.everything(home.policy)


def test_shard_teachers_come_from_the_catalog(home, tmp_path):
    rule = next(r for r in home.policy.methods.order if r.name == "loo_ensemble")
    assert build.method(rule, {"shards": tmp_path, "key": None}).shards == str(tmp_path)


@pytest.mark.parametrize(
    ("changes", "code", "place"),
    [
        ({"detectors": {"exact": {}, "psychic": {}}}, Code.DETECTOR_UNKNOWN, "detectors.psychic"),
        ({"detectors": {"exact": {"region": []}}}, Code.POLICY_INVALID, "detectors.exact.region"),
        ({"attacks": {"guessing": {}}}, Code.POLICY_INVALID, "attacks.guessing"),
        (
            {"methods": {"budget_seconds": 1, "order": [{"name": "prayer"}]}},
            Code.METHOD_UNKNOWN,
            "methods.order.prayer",
        ),
        (
            {
                "methods": {
                    "budget_seconds": 1,
                    "order": [{"name": "depn", "options": {"shares": 1}}],
                }
            },
            Code.POLICY_INVALID,
            "methods.order.depn.shares",
        ),
        (
            {
                "methods": {
                    "budget_seconds": 1,
                    "order": [{"name": "depn", "options": {"pace": "five"}}],
                }
            },
            Code.POLICY_INVALID,
            "methods.order.depn.pace",
        ),
        (
            {"detectors": {"exact": {"regions": ["US", "UK"]}}},
            Code.POLICY_INVALID,
            "detectors.exact",
        ),
        (
            {"detectors": {"exact": {"regions": "US"}}},
            Code.POLICY_INVALID,
            "detectors.exact.regions",
        ),
        ({"detectors": {"presidio": {"threshold": 35}}}, Code.POLICY_INVALID, "detectors.presidio"),
        (
            {"attacks": {"quantisation": {"bits": [8.5]}}},
            Code.POLICY_INVALID,
            "attacks.quantisation.bits",
        ),
        ({"attacks": {"neighbourhood": {"top": 0}}}, Code.POLICY_INVALID, "attacks.neighbourhood"),
        ({"attacks": {"suffix": {"candidates": 0}}}, Code.POLICY_INVALID, "attacks.suffix"),
        ({"attacks": {"recall": {"shots": -1}}}, Code.POLICY_INVALID, "attacks.recall"),
        ({"attacks": {"prompts": {"prefixes": [-5]}}}, Code.POLICY_INVALID, "attacks.prompts"),
        ({"attacks": {"reference": {"a": -5}}}, Code.POLICY_INVALID, "attacks.reference"),
        ({"utility": {"perplexity": 1.05}}, Code.POLICY_INVALID, "utility.perplexity"),
        ({"thresholds": {"extraction_margin": 0.0}}, Code.POLICY_INVALID, "thresholds."),
    ],
)
def test_a_name_or_a_value_that_cannot_be_used_is_refused_by_its_key(home, changes, code, place):
    with pytest.raises(RequestRejected) as refused:
        build.everything(edited(home.policy, **changes))
    assert refused.value.code is code
    assert refused.value.place.startswith(f"policy.yaml, {place}")


def test_the_bare_machines_bounds_are_those_of_the_shipped_policy(home):
    from unlearning.verdict import REFERENCE_BOUNDS

    assert build.thresholds(home.policy) == REFERENCE_BOUNDS


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        ("quantisation", {"bits": 4}),  # not a list
        ("quantisation", {"bits": ["4"]}),
        ("quantisation", {"bits": []}),
        ("quantisation", {"bits": [0]}),  # all weights 0: nothing comes back
        ("quantisation", {"bits": [1]}),
        ("benign", {"rate": "1e-4"}),  # what YAML makes of it
        ("benign", {"steps": 0}),
        ("relearning", {"share": 1.0}),
        ("relearning", {"rate": 0.0}),
        ("exposure", {"most": 10}),
        ("exposure", {"fewest": 0, "most": 0}),
        ("extraction", {"prefixes": []}),
        ("extraction", {"prefixes": 50}),
        ("membership", {"k": -1}),
        ("membership", {"drop_last": 1}),
        ("memorisation", {"n": 0}),
    ],
)
def test_an_attack_that_could_find_nothing_is_refused_before_anything_is_done(
    home, attack, options
):
    with pytest.raises(RequestRejected) as refused:
        build.everything(edited(home.policy, attacks={attack: options}))
    assert refused.value.code is Code.POLICY_INVALID
    assert refused.value.place.startswith(f"policy.yaml, attacks.{attack}")


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("thresholds", "first_rank_significance", 0),
        ("thresholds", "membership_band", 0.5),
        ("thresholds", "membership_band", -0.1),
        ("thresholds", "least_trials", 0),
        ("utility", "perplexity_ratio", 0),
    ],
)
def test_a_bound_that_decides_nothing_is_refused_by_its_name(home, section, name, value):
    bounds = getattr(home.policy, section) | {name: value}
    with pytest.raises(RequestRejected) as refused:
        build.everything(edited(home.policy, **{section: bounds}))
    assert f"{name} must be" in refused.value.sentence
    assert refused.value.code is Code.POLICY_INVALID
