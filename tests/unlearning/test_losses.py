"""Losses by hand, and deaf to what a mask leaves out."""

import math
from dataclasses import replace

import pytest
import torch

from tests.unlearning.conftest import tiny_model
from tests.unlearning.sample import row
from unlearning.batches import batch_of
from unlearning.losses import (
    ascent,
    capped_ascent,
    capped_odds,
    kl_from,
    masked_mean,
    mixture_nll,
    npo,
    simnpo,
    token_nll,
)
from unlearning.models import LanguageModel
from unlearning.tuning import drift
from unlearning.unlearned import seeded

HALF = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]])  # p = (1/2, 1/2), then (3/4, 1/4)
LABELS = torch.tensor([[0, 1]])
EVERY = torch.tensor([[True, True]])


def test_token_nll_is_minus_log_p_of_the_label() -> None:
    found = token_nll(HALF, LABELS)
    torch.testing.assert_close(found, torch.tensor([[math.log(2), math.log(4)]]))


def test_a_mask_that_is_nowhere_true_gives_zero() -> None:
    assert masked_mean(torch.tensor([[1.0, 2.0]]), ~EVERY) == 0


def test_capped_ascent_counts_only_what_is_below_the_cap() -> None:
    nll = torch.tensor([[0.5, 3.0, 1.0, 0.1]])
    mask = torch.tensor([[True, True, True, False]])
    # max(0, 2 - .5) + max(0, 2 - 3) + max(0, 2 - 1) = 2.5, over three tokens
    torch.testing.assert_close(capped_ascent(nll, mask, 2.0), torch.tensor(2.5 / 3))
    caps = torch.tensor([[1.0, 4.0, 1.0, 9.0]])
    torch.testing.assert_close(capped_ascent(nll, mask, caps), torch.tensor(1.5 / 3))


def test_capped_ascent_pushes_down_only_tokens_short_of_their_cap() -> None:
    nll = torch.tensor([[0.5, 3.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(capped_ascent(nll, EVERY, 2.0), nll)
    torch.testing.assert_close(slope, torch.tensor([[-0.5, 0.0]]))


def test_capped_odds_ends_where_capped_ascent_does_and_leaves_what_is_known_by_heart() -> None:
    logits = torch.tensor([[[30.0, 0.0, 0.0], [0.0, 2.0, 1.0], [-9.0, 0.0, 0.0]]])
    labels, mask = torch.tensor([[0, 1, 0]]), torch.tensor([[True, True, True]])
    logits.requires_grad_(requires_grad=True)
    cap = torch.tensor([[2.0, 1.0, 1.0]])  # p = e^-2, e^-1; the last token is beyond its cap
    found = capped_odds(logits, labels, mask, cap)
    # odds against: 2 e^-30, (1 + e) / e^2; at the cap: e^2 - 1, e - 1
    first = math.log(math.e**2 - 1) - (math.log(2) - 30)
    second = math.log(math.e - 1) - math.log((1 + math.e) / math.e**2)
    torch.testing.assert_close(found, torch.tensor((first + second) / 3))
    (slope,) = torch.autograd.grad(found, logits)
    torch.testing.assert_close(slope[0, :, 0], torch.tensor([1 / 3, -1 / (3 * (1 + math.e)), 0.0]))
    none = capped_odds(logits, labels, mask, torch.zeros(1, 3))  # what nobody finds unlikely
    assert none.item() == 0.0
    (slope,) = torch.autograd.grad(none, logits)
    assert bool((slope == 0).all())


def test_kl_from_is_the_divergence_of_the_current_model_from_the_reference() -> None:
    # KL((1/2,1/2) || (3/4,1/4)) = 1/2 ln(2/3) + 1/2 ln 2
    by_hand = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    found = kl_from(HALF[:, :1], HALF[:, 1:], torch.tensor([[True]]))
    torch.testing.assert_close(found, torch.tensor(by_hand))


def test_mixture_nll_is_the_divergence_from_given_probabilities() -> None:
    target = torch.tensor([[[0.75, 0.25]]])
    # KL((3/4,1/4) || (1/2,1/2)) = 3/4 ln(3/2) + 1/4 ln(1/2)
    by_hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    found = mixture_nll(target, HALF[:, :1], torch.tensor([[True]]))
    torch.testing.assert_close(found, torch.tensor(by_hand))
    certain = torch.tensor([[[1.0, 0.0]]])  # 0 log 0 = 0
    torch.testing.assert_close(
        mixture_nll(certain, HALF[:, :1], torch.tensor([[True]])), torch.tensor(math.log(2))
    )


@pytest.mark.parametrize("loss", ["ascent", "kl", "mixture"])
def test_what_the_mask_leaves_out_moves_neither_the_loss_nor_its_gradient(loss: str) -> None:
    order = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 7, generator=order)
    other = torch.randn(2, 5, 7, generator=order)
    labels = torch.randint(7, (2, 5), generator=order)
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 1, 0, 0]]).bool()

    def value(logits: torch.Tensor, other: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if loss == "ascent":
            return capped_ascent(token_nll(logits, labels), mask, 1.5)
        if loss == "kl":
            return kl_from(other, logits, mask)
        return mixture_nll(other.softmax(-1), logits, mask)

    changed = torch.where(mask[..., None], logits, torch.randn(2, 5, 7, generator=order))
    relabelled = torch.where(mask, labels, (labels + 3) % 7)
    reference = torch.where(mask[..., None], other, torch.zeros_like(other))
    assert value(changed, reference, relabelled) == value(logits, other, labels)
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(value(logits, other, labels), logits)
    assert not slope[~mask].any()


@pytest.mark.parametrize("kind", ["gpt2", "neox", "llama", "bert"])
def test_padding_and_what_follows_it_do_not_move_a_batch(
    kind: str, untrained: LanguageModel
) -> None:
    model = tiny_model(kind, untrained)
    short, long = row([0, 40, 41, 42, 43, 44], (2, 4)), row([0, *range(50, 70)], (5, 9))
    alone = batch_of(model, [short], seeded(1))
    together = batch_of(model, [short, long], seeded(1))
    if model.masked:  # what is hidden is drawn per batch; the comparison needs the same draw
        width = alone.inputs.shape[1]
        together = replace(
            together,
            inputs=torch.cat([alone.inputs, together.inputs[:1, width:]], 1),
            labels=together.labels[:1],
            secret=torch.nn.functional.pad(alone.secret, (0, together.labels.shape[1] - width)),
            attention=together.attention[:1],
        )
        assert not together.valid[0, width:].any()
    with torch.no_grad():
        losses = [
            masked_mean(token_nll(b.logits(model)[:1], b.labels[:1]), b.secret[:1])
            for b in (alone, together)
        ]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


def test_a_token_after_the_secret_does_not_move_the_ascent_of_a_causal_model(
    small: LanguageModel,
) -> None:
    ids = [0, 40, 41, 42, 43, 44, 45, 46]
    with torch.no_grad():
        losses = []
        for last in (46, 99):
            batch = batch_of(small, [row([*ids[:-1], last], (2, 5))], seeded(0))
            losses.append(
                capped_ascent(token_nll(batch.logits(small), batch.labels), batch.secret, 20.0)
            )
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-6)


def test_secret_positions_are_those_that_predict_a_secret_token(small: LanguageModel) -> None:
    batch = batch_of(small, [row([0, 40, 41, 42, 43], (2, 4)), row([0, 50, 51], (1, 2))], seeded(0))
    assert batch.labels[batch.secret].tolist() == [41, 42, 50]
    assert batch.labels[batch.valid].tolist() == [40, 41, 42, 43, 50, 51]


def test_a_masked_batch_counts_only_hidden_tokens_and_hides_the_end_of_each_secret(
    untrained: LanguageModel,
) -> None:
    model = tiny_model("bert", untrained)
    rows = [row([1, *range(40, 60), 2], (4, 9), (12, 14))]
    for seed in range(8):
        batch = batch_of(model, rows, seeded(seed))
        hidden = batch.inputs == model.tokenizer.mask_token_id
        assert torch.equal(hidden, batch.valid)
        assert bool(batch.secret[0, 8])
        assert bool(batch.secret[0, 13])
        assert not bool((batch.secret & ~hidden).any())
        assert not hidden[0, [0, -1]].any()


def test_a_model_does_not_drift_from_itself(small: LanguageModel) -> None:
    batch = batch_of(small, [row([0, 40, 41, 42], (2, 3))], seeded(0))
    assert float(drift(small, small, batch).detach()) == pytest.approx(0, abs=1e-6)


NLL = torch.tensor([[1.0, 2.0, 0.5], [0.25, 9.0, 9.0]])
MASK = torch.tensor([[True, True, False], [True, False, False]])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_ascent_is_minus_the_mean_and_lets_go_of_unlikely_tokens_when_weighed() -> None:
    torch.testing.assert_close(ascent(NLL, MASK), torch.tensor(-(1 + 2 + 0.25) / 3))
    p = [math.exp(-0.5 * x) for x in (1, 2, 0.25)]  # p^beta, beta 1/2
    by_hand = -(p[0] * 1 + p[1] * 2 + p[2] * 0.25) / 3
    torch.testing.assert_close(ascent(NLL, MASK, 0.5), torch.tensor(by_hand))
    nll = NLL.clone().requires_grad_()
    (slope,) = torch.autograd.grad(ascent(nll, MASK, 0.5), nll)
    torch.testing.assert_close(slope[0], torch.tensor([-p[0] / 3, -p[1] / 3, 0.0]))


def test_npo_by_hand() -> None:
    """S = 3 and 1/4; S_ref = 1 and 1/4; beta .1: (2 / .1) * (softplus(-.2) + softplus(0)) / 2."""
    reference = torch.tensor([[0.5, 0.5, 7.0], [0.25, 7.0, 7.0]])
    by_hand = 20 * (softplus(-0.2) + softplus(0)) / 2
    torch.testing.assert_close(npo(NLL, reference, MASK, 0.1), torch.tensor(by_hand))
    at_start = npo(NLL, NLL, MASK, 0.1)  # every softplus is ln 2
    torch.testing.assert_close(at_start, torch.tensor(20 * math.log(2)))


def test_simnpo_by_hand() -> None:
    """Means 3/2 and 1/4, margin 1/2, beta 2: (2 / 2) * (softplus(-2) + softplus(1/2)) / 2."""
    by_hand = (softplus(-2) + softplus(0.5)) / 2
    torch.testing.assert_close(simnpo(NLL, MASK, 2.0, 0.5), torch.tensor(by_hand))


def test_a_passage_without_a_masked_token_does_not_count() -> None:
    more = torch.cat([NLL, torch.full((1, 3), 4.0)])
    mask = torch.cat([MASK, torch.zeros(1, 3, dtype=torch.bool)])
    assert npo(more, more * 0, mask, 0.1) == npo(NLL, NLL * 0, MASK, 0.1)
    assert simnpo(more, mask, 4.5, 0.0) == simnpo(NLL, MASK, 4.5, 0.0)
    assert npo(more, more, ~mask & mask, 0.1) == 0


@pytest.mark.parametrize("beta", [0.1, 0.7, 2.0])
def test_the_gradient_of_npo_is_that_of_ascent_times_its_weight(beta: float) -> None:
    """w = 2 p^beta / (p^beta + p_ref^beta) with p = exp(-S), of each passage; ascent's slope is -1 / passages."""
    nll, reference = NLL.clone().requires_grad_(), NLL * 0.4 + 0.3
    (slope,) = torch.autograd.grad(npo(nll, reference, MASK, beta), nll)
    for i in range(2):
        p, p_ref = (math.exp(-float((x[i] * MASK[i]).sum())) for x in (NLL, reference))
        weight = 2 * p**beta / (p**beta + p_ref**beta)
        torch.testing.assert_close(slope[i], -weight / 2 * MASK[i].float())


def gradient(loss: torch.Tensor, model: LanguageModel) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(model.network.parameters()), retain_graph=True)
    return torch.cat([g.flatten() for g in found])


def test_npo_goes_the_way_of_ascent_as_beta_vanishes(small: LanguageModel) -> None:
    rows = [row([0, *range(40, 60)], (5, 9)), row([0, *range(61, 81)], (3, 9))]  # of one length
    batch = batch_of(small, rows, seeded(0))
    nll = token_nll(batch.logits(small), batch.labels)
    reference = nll.detach() * torch.tensor([[0.2], [0.9]])
    plain = gradient(ascent(nll, batch.valid), small)

    def cosine(beta: float) -> float:
        found = gradient(npo(nll, reference, batch.valid, beta), small)
        return float(torch.cosine_similarity(found, plain, dim=0))

    assert cosine(1e-4) > 0.9999
    assert cosine(1.0) < 0.99  # or the test would show nothing


def slow_sums(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> list[list[float]]:
    """-log p of every masked token, passage by passage, in double precision."""
    rows = []
    for passage, wanted, counted in zip(logits.double(), labels, mask, strict=True):
        p = [x.exp() / x.exp().sum() for x in passage]
        rows.append([-math.log(p[t][wanted[t]]) for t in range(len(p)) if counted[t]])
    return rows


def test_the_losses_equal_slow_transcriptions_of_their_formulas() -> None:
    order = torch.Generator().manual_seed(4)
    logits, other = torch.randn(2, 3, 6, 11, generator=order)
    labels = torch.randint(11, (3, 6), generator=order)
    mask = torch.rand(3, 6, generator=order) < 0.6
    mine, theirs = (slow_sums(x, labels, mask) for x in (logits, other))
    nll, reference = (token_nll(x, labels) for x in (logits, other))
    every = [x for passage in mine for x in passage]
    expected = {
        "npo": 20
        * sum(softplus(-0.1 * (sum(a) - sum(b))) for a, b in zip(mine, theirs, strict=True))
        / 3,
        "simnpo": 2 / 4.5 * sum(softplus(-4.5 * (sum(a) / len(a) - 0.25)) for a in mine) / 3,
        "wga": -sum(math.exp(-x) ** 0.8 * x for x in every) / len(every),
    }
    found = {
        "npo": npo(nll, reference, mask, 0.1),
        "simnpo": simnpo(nll, mask, 4.5, 0.25),
        "wga": ascent(nll, mask, 0.8),
    }
    assert {k: float(v) for k, v in found.items()} == pytest.approx(expected, rel=1e-6)
