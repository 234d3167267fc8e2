"""The latent attack: equal to a naive loop, within its bounds, harmless to gradients, and of use."""

import math
from collections.abc import Callable

import pytest
import torch

from domain.errors import Code, UnlearningFailed
from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import framed, row
from unlearning.batches import Batch, batch_of
from unlearning.latent import LatentAttack, pushed, recovered, secret_nll
from unlearning.layers import blocks
from unlearning.losses import masked_mean, token_nll
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial
from unlearning.unlearned import seeded

ROWS = [row([0, *range(40 + n, 52 + n)], (3, 7)) for n in range(3)]  # of one length: no padding


def with_input(model: LanguageModel, layer: int, batch: Batch, changed: Callable[..., object]):
    """The logits of a pass in which `changed` sees and replaces what goes into one block."""

    def hook(module, args, kwargs):
        if args:
            return (changed(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": changed(kwargs["hidden_states"])}

    handle = blocks(model)[layer].register_forward_pre_hook(hook, with_kwargs=True)
    logits = batch.logits(model)
    handle.remove()
    return logits


def naive(
    model: LanguageModel, batch: Batch, attack: LatentAttack, generator: torch.Generator
) -> list[torch.Tensor]:
    """Passage after passage, number after number, as the reference's pseudo-code has it."""
    seen: list[torch.Tensor] = []
    with torch.no_grad():
        with_input(model, attack.layer, batch, lambda h: seen.append(h.clone()) or h)
    hidden = seen[0]
    count = len(hidden)
    low, high = float(hidden.min()), float(hidden.max())
    norms = sorted(math.sqrt(sum(float(x) ** 2 for x in h.flatten())) for h in hidden)
    eps = attack.radius * norms[(count - 1) // 2]

    def project(d: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        size = math.sqrt(float((d * d).sum()))
        d = d * (eps / size) if size > eps else d
        return torch.tensor(
            [
                min(max(a, low), high) - b
                for a, b in zip((h + d).flatten(), h.flatten(), strict=True)
            ]
        ).view_as(h)

    noise = torch.randn(hidden.shape, generator=generator)
    shares = torch.rand(count, 1, 1, generator=generator).flatten().tolist()
    pushes = [
        project(n * (u * eps / math.sqrt(float((n * n).sum()))), h)
        for n, u, h in zip(noise, shares, hidden, strict=True)
    ]
    for _ in range(attack.steps):
        d = torch.stack(pushes).requires_grad_()
        logits = with_input(model, attack.layer, batch, lambda h, d=d: h + d)
        nll = token_nll(logits, batch.labels)
        loss = sum(masked_mean(nll[i : i + 1], batch.secret[i : i + 1]) for i in range(count))
        (slope,) = torch.autograd.grad(loss / count, d)
        pushes = [
            project(p - eps / attack.steps * g / (math.sqrt(float((g * g).sum())) + 1e-6), h)
            for p, g, h in zip(pushes, slope, hidden, strict=True)
        ]
    return pushes


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox", "bert"])
@pytest.mark.parametrize(("steps", "radius"), [(3, 0.05), (6, 0.15)])
def test_the_push_equals_a_naive_loop_over_passages(
    kind: str, steps: int, radius: float, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    attack = LatentAttack(1, steps, radius)
    batch = batch_of(model, framed(model, ROWS), seeded(0))
    found = attack.push(model, batch, secret_nll(batch), seeded(7))
    slow = torch.stack(naive(model, batch, attack, seeded(7)))
    torch.testing.assert_close(found, slow, rtol=1e-4, atol=2e-6)


def test_the_push_stays_within_the_radius_and_the_range_and_leaves_padding_alone(
    small: LanguageModel,
) -> None:
    rows = [*ROWS, row([0, 60, 61, 62], (2, 4))]
    batch = batch_of(small, rows, seeded(0))
    seen: list[torch.Tensor] = []
    with torch.no_grad():
        with_input(small, 1, batch, lambda h: seen.append(h.clone()) or h)
    real = batch.attention.bool()
    hidden = seen[0] * real[..., None]
    for radius in (0.05, 5.0):
        push = LatentAttack(1, 4, radius).push(small, batch, secret_nll(batch), seeded(0))
        sizes = push.flatten(1).norm(dim=1)
        assert bool((sizes <= radius * hidden.flatten(1).norm(dim=1).median() * 1.0001).all())
        assert bool((sizes > 0).all())
        moved = (hidden + push)[real]
        assert moved.min() >= hidden[real].min() - 1e-5
        assert moved.max() <= hidden[real].max() + 1e-5
        assert not push[~real].any()


def test_the_push_does_not_touch_gradients_that_wait_nor_leave_a_hook(small: LanguageModel) -> None:
    for p in small.network.parameters():
        p.grad = torch.full_like(p, 0.5)
    batch = batch_of(small, ROWS, seeded(0))
    with torch.no_grad():
        before = batch.logits(small)
    LatentAttack(0, 3, 0.1).push(small, batch, secret_nll(batch), seeded(0))
    assert all(bool((p.grad == 0.5).all()) for p in small.network.parameters())
    with torch.no_grad():
        assert torch.equal(batch.logits(small), before)
    assert not any(m._forward_pre_hooks for m in small.network.modules())


@pytest.mark.parametrize(("steps", "radius"), [(0, 0.1), (3, 0.0)])
def test_without_steps_or_radius_there_is_no_push(
    steps: int, radius: float, small: LanguageModel
) -> None:
    batch = batch_of(small, ROWS, seeded(0))
    push = LatentAttack(1, steps, radius).push(small, batch, secret_nll(batch), seeded(0))
    assert not push.any()


def test_the_weights_learn_under_the_push_and_not_through_it(small: LanguageModel) -> None:
    batch = batch_of(small, ROWS, seeded(0))
    attack = LatentAttack(1, 3, 0.1)
    push = attack.push(small, batch, secret_nll(batch), seeded(0))
    assert not push.requires_grad
    with pushed(attack.block(small), push):
        secret_nll(batch)(batch.logits(small)).backward()
    assert small.network.get_input_embeddings().weight.grad.any()  # before the block, too


def test_what_was_suppressed_is_recovered_more_than_what_was_never_known(
    victim: LanguageModel, trial: Trial
) -> None:
    after = METHODS["npo"](steps=20, rate=3e-4).unlearn(victim, trial.corpus).model
    attack, strangers = LatentAttack(1, 6, 0.05), trial.controls[:9]
    found = recovered(after, trial.members, attack, 0)
    unknown = recovered(after, strangers, attack, 0)
    gain, other = (float((r.nll - r.attacked_nll).mean()) for r in (found, unknown))
    assert gain > 0.5
    assert float((found.attacked_hits - found.hits).mean()) > 0.05
    assert float((found.attacked_hits).mean()) > float(unknown.attacked_hits.mean()) + 0.2
    assert other > 0  # text that was never known moves as well: the attack needs its control
    again = recovered(after, trial.members, attack, 0)
    assert torch.equal(found.attacked_nll, again.attacked_nll)


def test_recovery_without_an_attack_is_what_scoring_says(
    victim: LanguageModel, trial: Trial
) -> None:
    bare = row([0, 40, 41, 42])
    rows = [*trial.members, bare]
    found = recovered(victim, rows, LatentAttack(1, 0), 0)
    assert torch.equal(found.nll[:-1], found.attacked_nll[:-1])
    assert found.nll.isnan().tolist() == [False] * len(trial.members) + [True]
    for n, (asked, scores) in enumerate(
        zip(trial.members, Target(victim).scores(trial.members), strict=True)
    ):
        secret = torch.tensor(asked.sensitive)
        expected = -scores.log_probability[secret].mean()
        torch.testing.assert_close(found.nll[n], expected, rtol=1e-3, atol=1e-4)
        assert float(found.hits[n]) == pytest.approx(float(scores.hit[secret].float().mean()))


def test_a_block_that_is_not_there_is_a_typed_error(small: LanguageModel) -> None:
    with pytest.raises(UnlearningFailed) as failed:
        LatentAttack(2).block(small)
    assert failed.value.code is Code.METHOD_INAPPLICABLE
    assert "2 blocks" in failed.value.remedy
