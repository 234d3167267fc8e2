"""A candidate that nobody can measure is an attempt that failed; the next method has its turn."""

from types import SimpleNamespace

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from flows.bench import Paths
from flows.checkpoint import ModelProgress
from flows.promotion import retire
from flows.unlearn import candidates_fault
from tests import tiny
from unlearning import models
from unlearning.encoding import encode
from unlearning.scoring import Target


def test_weights_that_are_finite_and_give_logits_that_are_not_are_the_methods_fault(
    tmp_path,
) -> None:
    place = tiny.town(2)
    candidate = tiny.victim(place, steps=0)
    with torch.no_grad():
        candidate.network.get_output_embeddings().weight.fill_(3e38)
    models.save(candidate, tmp_path / "made")
    rows = encode(candidate, tiny.sentences(place))
    with pytest.raises(UnlearningFailed) as failed, candidates_fault():
        Target(models.load(tmp_path / "made")).scores(rows)
    assert failed.value.code is Code.MODEL_NOT_FINITE


def test_one_that_cannot_be_loaded_is_so_too(tmp_path) -> None:
    with pytest.raises(UnlearningFailed) as failed, candidates_fault():
        models.load(tmp_path)
    assert failed.value.code is Code.MODEL_UNREADABLE


def test_what_a_killed_run_left_half_made_goes_and_what_is_in_service_stays(tmp_path) -> None:
    paths = Paths(tmp_path, "er-1")
    served = paths.candidate("m", 2, "sisa")
    left = [served.parent / name for name in ("1-npo", ".2-sisa.x7q", "3-sisa")]
    for folder in (served, *left):
        (folder / "model").mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    at = ModelProgress(path=tmp_path / "first" / "model", before_sha256="0" * 64, version="1")
    at.candidate, at.served = served / "model", (served / "model",)
    bench = SimpleNamespace(paths=paths, progress=SimpleNamespace(models={"m": at}))
    retire.fn(bench, "m")
    assert list(served.parent.iterdir()) == [served]
    assert (served / "model").is_dir()
