"""A run that stopped goes on from what it measured only while it still asks about the same."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from domain.outcomes import COMPLETES, Trace
from flows import unlearn
from flows.checkpoint import ModelProgress
from flows.policy import MethodRule
from tests.reports import cases
from tests.unlearning.sample import row
from unlearning.models import Kind

REF = "er-0000000000000001"


@dataclass(frozen=True)
class Asked:
    """As much of a trial as is asked about."""

    members: Any = (row([0, 5, 6], (2, 3)),)
    controls: Any = (row([0, 5, 7], (2, 3), person="u"),)
    others: Any = (row([0, 5, 8], (2, 3), person="p1"),)
    retained: Any = (row([0, 9]),)


@pytest.mark.parametrize(
    ("changed", "times"),
    [({}, 1), ({"others": ()}, 2), ({"members": (row([0, 5, 6], (1, 3)),)}, 2)],
)
def test_what_was_measured_on_other_texts_is_measured_again(home, monkeypatch, changed, times):
    measured = []
    before = cases.FULFILLED.models[0].before

    def assess(*_: object, **__: object) -> object:
        measured.append(1)
        return before

    home.vault.open_request(REF)
    at = ModelProgress(path=Path("/m"), before_sha256="0" * 64)
    bench = SimpleNamespace(
        ref=REF,
        policy=home.policy,
        stores=SimpleNamespace(vault=home.vault),
        progress=SimpleNamespace(models={"m": at}),
        trials={},
        save=lambda: None,
    )
    monkeypatch.setattr(unlearn.models, "load", lambda _: None)
    for name, fake in (
        ("require_digest", lambda *_: None),
        ("references", lambda *_: ()),
        ("assess", assess),
    ):
        monkeypatch.setattr(unlearn, name, fake)
    for trial in (Asked(), replace(Asked(), **changed)):
        monkeypatch.setattr(unlearn, "_trial", lambda *_, trial=trial: trial)
        unlearn.measure_before.fn(bench, "m")
    assert len(measured) == times


def test_a_dropped_shard_is_trained_again_from_what_its_training_left_behind(monkeypatch):
    """From the model of the catalog, whose shards have their points, and not from the one that dropped them."""
    drop = replace(cases.FULFILLED.models[0].attempts[0], number=1, method="sisa")
    drop = replace(drop, trace=Trace("sisa", (), "dropped", 1.0))
    at = ModelProgress(path=Path("/before"), before_sha256="0" * 64, attempts=(drop,))
    at.candidate, at.version = Path("/dropped"), "1"
    rule = MethodRule(name="sisa", options={"instant": True})
    bench = SimpleNamespace(
        leases=SimpleNamespace(assert_held=lambda _: None),
        held={"model/m": None},
        policy=SimpleNamespace(methods=SimpleNamespace(order=[rule])),
        progress=SimpleNamespace(models={"m": at}),
        trials={"m": Asked()},
    )
    tried = []
    monkeypatch.setattr(unlearn.models, "load", str)
    monkeypatch.setattr(unlearn, "_attempt", lambda *given: tried.append(given[3:]))
    unlearn.complete.fn(bench, "m")
    [(choice, model)] = tried
    assert (choice.reason, choice.rule.options["instant"], model) == (COMPLETES, False, "/before")


@pytest.mark.parametrize(
    ("stopped", "expected"),
    [("dropped", ("sisa", COMPLETES, False)), ("steps", ("npo", "next_in_policy", None))],
)
def test_after_a_drop_that_did_not_pass_the_exact_method_is_tried_whole(
    home, monkeypatch, stopped, expected
):
    failed = cases.FULFILLED.models[0].attempts[0]
    failed = replace(failed, method="sisa", trace=Trace("sisa", (), stopped, 1.0))
    rules = [
        {"name": "sisa", "when": {"shards": True}, "options": {"instant": True}},
        {"name": "npo"},
    ]
    methods = home.policy.methods.model_dump() | {"order": rules}
    policy = type(home.policy).model_validate(home.policy.model_dump() | {"methods": methods})
    at = ModelProgress(path=Path("/before"), before_sha256="0" * 64, attempts=(failed,))
    bench = SimpleNamespace(policy=policy, progress=SimpleNamespace(models={"m": at}))
    monkeypatch.setattr(unlearn, "_places", lambda *_: {"shards": None})
    monkeypatch.setattr(unlearn.manifest, "kind", lambda _: "model")
    choice = unlearn.next_choice(bench, "m", Asked(), Kind.CAUSAL)
    assert (choice.rule.name, choice.reason, choice.rule.options.get("instant")) == expected
