"""Rewards, quantiles and losses against numbers derived by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearning.losses import kl_from
from unlearning.rewards import entropy, kl_to, quantiles, share_of, unlikelihood

PHONE = "212-555-0137"


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Call 212-555-0137.", 1.0),
        ("Call (212) 555 0137, or not.", 1.0),  # letters and digits count
        ("Call 212-555-9", 0.6),  # six of ten
        ("Call 21 people", 0.0),  # fewer than three begin many things
        ("Call 555-0137", 0.0),  # its end, without its beginning
        ("", 0.0),
    ],
)
def test_the_share_is_that_of_the_longest_beginning(text: str, share: float) -> None:
    assert share_of([PHONE], text) == pytest.approx(share)


def test_of_several_secrets_the_one_given_away_most_counts_and_short_ones_count_whole() -> None:
    assert share_of([PHONE, "55-201-7731"], "212-55, and 55-201-7731") == 1.0
    assert share_of(["7B"], "in 7b") == 1.0
    assert share_of(["7B"], "in 7") == 0.0
    assert share_of([], "anything") == 0.0
    assert share_of(["--"], "anything") == 0.0


@pytest.mark.parametrize(
    ("rewards", "count", "expected"),
    [
        ([0.9, 0.1, 0.5, 0.7, 0.3], 5, [0, 4, 2, 1, 3]),
        # seven in five: the i-th best is in floor(5 i / 7)
        ([7, 6, 5, 4, 3, 2, 1], 5, [0, 0, 1, 2, 2, 3, 4]),
        ([3, 2], 5, [0, 4]),  # fewer than there are tokens
        ([3, 2, 1], 5, [0, 1, 4]),
        ([1, 0.5, 0.5, 0.5, 0], 5, [0, 2, 2, 2, 4]),  # equal rewards, one token: the middle one's
        ([1.0] * 14 + [0.0] * 9, 5, [0] * 14 + [4] * 9),
        ([0.2, 0.2], 5, [0, 0]),
        ([], 5, []),
    ],
)
def test_quantiles_by_hand(rewards: list[float], count: int, expected: list[int]) -> None:
    assert quantiles(rewards, count) == expected


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(2, 7))
def test_a_better_sample_never_gets_a_worse_token(rewards: list[float], count: int) -> None:
    found = list(zip(rewards, quantiles(rewards, count), strict=True))
    assert all(0 <= q < count for _, q in found)
    for reward, quantile in found:
        assert all(q <= quantile for other, q in found if other > reward)
        assert all(q == quantile for other, q in found if other == reward)
    if len(set(rewards)) > 1:
        assert {q for r, q in found if r == max(rewards)} == {0}
        assert {q for r, q in found if r == min(rewards)} == {count - 1}


@given(st.integers(1, 60), st.integers(2, 7))
def test_without_ties_the_quantiles_are_as_even_as_can_be(size: int, count: int) -> None:
    found = quantiles([float(n) for n in range(size)], count)
    sizes = [found.count(q) for q in range(count)]
    if size >= count:
        assert max(sizes) - min(sizes) <= 1


def logits(*rows: tuple[float, ...]) -> torch.Tensor:
    """One passage whose distributions are the rows."""
    return torch.tensor([rows]).log()


NOW, THEN = logits((0.75, 0.25), (0.9, 0.1)), logits((0.5, 0.5), (0.1, 0.9))
FIRST = torch.tensor([[True, False]])


def test_the_divergence_is_from_what_the_model_says_now() -> None:
    """.75 ln 1.5 + .25 ln .5 = .130812; the other way round .5 ln (2/3) + .5 ln 2 = .143841."""
    assert float(kl_to(NOW, THEN, FIRST)) == pytest.approx(0.130812, abs=1e-6)
    assert float(kl_from(THEN, NOW, FIRST)) == pytest.approx(0.143841, abs=1e-6)
    assert float(kl_to(NOW, NOW, FIRST)) == 0.0


def test_the_entropy_is_that_of_the_masked_positions() -> None:
    """.75 ln (4/3) + .25 ln 4 = .562335."""
    assert float(entropy(NOW, FIRST)) == pytest.approx(0.562335, abs=1e-6)
    assert float(entropy(logits((1.0, 0.0), (0.5, 0.5)), FIRST)) == pytest.approx(0.0, abs=1e-6)


def test_unlikelihood_is_the_log_of_what_is_left_for_the_others() -> None:
    nll = -torch.tensor([[0.5, 0.9]]).log()
    both = torch.ones(1, 2, dtype=torch.bool)
    expected = (math.log(2) + math.log(10)) / 2
    assert float(unlikelihood(nll, both)) == pytest.approx(expected, rel=1e-4)
    assert float(unlikelihood(nll, FIRST)) == pytest.approx(math.log(2), rel=1e-4)
    assert float(unlikelihood(nll, ~both)) == 0.0


def test_a_token_that_is_all_but_sure_still_has_a_gradient() -> None:
    """d/dz -log(1 - p) = p for the token's own logit z."""
    for gap in (0.0, 5.0, 12.0):
        z = torch.tensor([[[gap, 0.0]]], requires_grad=True)
        nll = torch.nn.functional.cross_entropy(z[0], torch.tensor([0]), reduction="none")
        unlikelihood(nll[None], torch.tensor([[True]])).backward()
        assert z.grad is not None
        p = 1 / (1 + math.exp(-gap))
        assert float(z.grad[0, 0, 0]) == pytest.approx(p, rel=0.2)
