"""What a simulated relearning gets back is unlikely as well, and the weights it looks at are nobody's to keep."""

from dataclasses import replace

import torch

from unlearning.batches import batch_of
from unlearning.encoding import Encoded
from unlearning.fine_tuning import fine_tuned
from unlearning.methods.relearning_ascent import RelearningAscent, _displaced
from unlearning.methods.selective_ascent import SelectiveAscent
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial
from unlearning.unlearned import seeded


def secret_nll(model: LanguageModel, rows: list[Encoded]) -> float:
    scored = Target(model).scores(rows)
    values = [
        -s.log_probability[t]
        for r, s in zip(rows, scored, strict=True)
        for t, flag in enumerate(r.sensitive)
        if flag
    ]
    return float(torch.stack(values).mean())


def test_the_gradient_is_taken_at_the_moved_weights_and_reaches_the_models_own(
    victim: LanguageModel, trial: Trial
) -> None:
    batch = batch_of(victim, list(trial.corpus.forget), seeded(0))
    generator = seeded(1)
    moved = {
        n: 0.01 * torch.randn(p.shape, generator=generator)
        for n, p in victim.network.named_parameters()
    }
    _displaced(victim, moved, batch).square().mean().backward()
    found = {n: p.grad.clone() for n, p in victim.network.named_parameters() if p.grad is not None}
    victim.network.zero_grad(set_to_none=True)
    there = replace(victim, network=fine_tuned(victim, [], 0.0, 0).network)
    with torch.no_grad():
        for name, weight in there.network.named_parameters():
            weight.add_(moved[name])
    batch.logits(there).square().mean().backward()
    for name, weight in there.network.named_parameters():
        assert weight.grad is not None
        assert torch.allclose(found[name], weight.grad, atol=1e-6)


def test_less_comes_back_by_relearning_than_after_plain_capped_ascent(
    victim: LanguageModel, trial: Trial
) -> None:
    knobs = {"cap_share": 0.9, "steps": 40, "rate": 1e-3, "samples": 32, "batch": 8}
    shown, rest = list(trial.corpus.forget[:1]), list(trial.corpus.forget[1:])

    def after_relearning(model: LanguageModel) -> float:
        return secret_nll(fine_tuned(model, [shown] * 10, 1e-3, 0), rest)

    plain = SelectiveAscent(**knobs).unlearn(victim, trial.corpus).model
    ours = RelearningAscent(**knobs, excerpts=0).unlearn(victim, trial.corpus)  # as the plain one
    assert after_relearning(ours.model) > after_relearning(plain) + 0.5
    last = ours.trace.steps[-1]
    assert last["relearnt_nll"] < last["secret_nll"]
