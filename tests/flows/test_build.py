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
