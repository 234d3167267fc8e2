"""A checkpoint gives back exactly what was measured, numbers that are none included."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from domain.lifecycle import Status
from domain.outcomes import Outcome
from flows.bench import seed_of
from flows.checkpoint import Checkpoint, ModelProgress, load_checkpoint
from flows.prove import status_from
from tests.reports import cases

REF = "er-0000000000000001"


def test_what_was_kept_is_read_back_whole(home):
    model = cases.FULFILLED.models[0]
    last = model.attempts[-1]
    odd = replace(last.verdict.checks[0], measured=math.inf, bound=-math.inf)
    attempt = replace(last, verdict=replace(last.verdict, checks=(odd,)))
    at = ModelProgress(
        path=Path("/models/one"),
        before_sha256=model.before_sha256,
        before=model.before,
        attempts=(attempt,),
        outcome=Outcome.PASS,
        reason="passed",
        files=model.files,
        after_sha256=model.after_sha256,
        version="3",
    )
    kept = Checkpoint(
        run=2, policy_sha256="0" * 64, committed_at="2026-11-20T00:00:00Z", seed=7, models={"m": at}
    )
    home.vault.open_request(REF)
    kept.save(home.vault, REF)
    found = load_checkpoint(home.vault, REF)
    assert found == kept
    assert found.models["m"].erasure("m") == at.erasure("m")


def test_a_number_that_is_none_survives(home):
    before = cases.FULFILLED.models[0].before
    odd = replace(before, seconds=math.nan)
    text = ModelProgress(path=Path("/m"), before_sha256="", before=odd).model_dump_json()
    assert math.isnan(ModelProgress.model_validate_json(text).before.seconds)


def test_an_open_outcome_has_no_place_in_the_evidence():
    with pytest.raises(ValueError, match="still open"):
        ModelProgress(path=Path("/m"), before_sha256="").erasure("m")


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["PASS"], Status.FULFILLED),
        (["PASS", "PASS"], Status.FULFILLED),
        (["PASS", "FAIL"], Status.NOT_ERASED),
        (["PASS", "INCONCLUSIVE"], Status.INCONCLUSIVE),
        (["INCONCLUSIVE", "FAIL"], Status.NOT_ERASED),
        (["NOT_RUN"], Status.NOT_ERASED),
        ([], Status.NOT_ERASED),
    ],
)
def test_status_is_the_worst_of_the_models_and_nothing_is_not_erased(outcomes, status):
    models = tuple(replace(cases.model(), outcome=Outcome(o)) for o in outcomes)
    assert status_from(models) is status


def test_a_seed_depends_on_policy_and_model_and_on_nothing_else():
    assert seed_of("a" * 64, "b" * 64) == seed_of("a" * 64, "b" * 64)
    assert len({seed_of(f"{n:064x}", "b" * 64) for n in range(50)}) == 50
    assert 0 <= seed_of("a" * 64, "b" * 64) < 2**31
