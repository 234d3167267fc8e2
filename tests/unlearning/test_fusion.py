"""Fused layers: least squares in closed form, what they are never worse than, and Grams of too few tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Code, RequestRejected
from unlearning.fusion import fuse, misfit
from unlearning.unlearned import seeded


def requests(
    seed: int, parts: int, tokens: int, width: int
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Inputs X_i (tokens, width), more of them for each next request, and layers W_i (width, width)."""
    generator = seeded(seed)

    def drawn(rows: int) -> torch.Tensor:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64)

    return [drawn(tokens + 3 * n) for n in range(parts)], [drawn(width) for _ in range(parts)]


@given(st.integers(0, 1000), st.integers(2, 4), st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_it_is_stacked_least_squares_and_no_worse_than_average_or_sum(
    seed: int, parts: int, width: int
) -> None:
    xs, layers = requests(seed, parts, 4 * width, width)
    grams = [x.T @ x for x in xs]
    found = fuse(layers, grams, ridge=0.0)
    stacked = torch.linalg.lstsq(
        torch.cat(xs), torch.cat([x @ w for x, w in zip(xs, layers, strict=True)])
    ).solution
    torch.testing.assert_close(found, stacked, atol=1e-10, rtol=1e-10)
    mean, total = torch.stack(layers).mean(0), torch.stack(layers).sum(0)
    by_hand = sum(float((x @ (found - w)).square().sum()) for x, w in zip(xs, layers, strict=True))
    best = misfit(found, layers, grams)
    assert best == pytest.approx(by_hand, rel=1e-8, abs=1e-8)
    assert best <= misfit(mean, layers, grams) + 1e-9
    assert best <= misfit(total, layers, grams) + 1e-9


def test_two_numbers_by_hand() -> None:
    """Width 1: X'X 1 and 3, layers 0 and 4, so (1 * 0 + 3 * 4) / 4 = 3; with a ridge of the whole diagonal, 4:
    (12 + 4 * 2) / 8 = 2.5."""
    layers = [torch.zeros(1, 1), torch.full((1, 1), 4.0)]
    grams = [torch.ones(1, 1), torch.full((1, 1), 3.0)]
    assert fuse(layers, grams, ridge=0.0).item() == pytest.approx(3)
    assert fuse(layers, grams, ridge=1.0).item() == pytest.approx(2.5)


@pytest.mark.parametrize("ridge", [0.0, 1e-9, 1e-3])
def test_where_no_token_speaks_the_average_stays(ridge: float) -> None:
    """Two requests with fewer tokens than the layer is wide; the plain inverse of the papers explodes."""
    xs, layers = requests(5, 2, 3, 32)
    grams = [x.T @ x for x in xs]
    found, mean = fuse(layers, grams, ridge), torch.stack(layers).mean(0)
    unseen = torch.linalg.svd(torch.cat(xs)).Vh[sum(len(x) for x in xs) :]  # no token lies there
    torch.testing.assert_close(unseen @ found, unseen @ mean, atol=1e-4, rtol=0)
    assert float(found.abs().max()) < 10 * float(torch.stack(layers).abs().max())
    assert misfit(found, layers, grams) < misfit(mean, layers, grams)
    if ridge < 1e-6:  # enough room for both: each request's own layer, on its own tokens
        for x, own in zip(xs, layers, strict=True):
            torch.testing.assert_close(x @ found, x @ own, atol=1e-5, rtol=1e-5)


def test_a_heavy_ridge_is_the_average_and_one_request_is_itself() -> None:
    xs, layers = requests(7, 3, 40, 6)
    grams = [x.T @ x for x in xs]
    mean = torch.stack(layers).mean(0)
    torch.testing.assert_close(fuse(layers, grams, 1e9), mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(fuse(layers[:1], grams[:1]), layers[0])
    assert fuse([w.float() for w in layers], grams).dtype == torch.float32


def test_a_request_with_more_text_weighs_more() -> None:
    """Un-normalised Grams: the same tokens ten times over count ten times."""
    xs, layers = requests(9, 2, 30, 5)
    grams = [x.T @ x for x in xs]
    often = fuse(layers, [10 * grams[0], grams[1]], 0.0)
    once = fuse(layers, grams, 0.0)
    assert (often - layers[0]).norm() < (once - layers[0]).norm()


@pytest.mark.parametrize(
    ("layers", "grams", "ridge"),
    [
        ([], [], 0.1),
        ([torch.eye(3)], [], 0.1),
        ([torch.eye(3)], [torch.eye(4)], 0.1),
        ([torch.eye(3)], [torch.eye(3)], -0.1),
        ([torch.eye(3)], [torch.eye(3)], float("nan")),
    ],
)
def test_what_cannot_be_fused_is_refused(
    layers: list[torch.Tensor], grams: list[torch.Tensor], ridge: float
) -> None:
    with pytest.raises(RequestRejected) as failed:
        fuse(layers, grams, ridge)
    assert failed.value.code is Code.POLICY_INVALID
