"""Several unlearning layers, trained for separate requests on one model, as one: least squares in closed form.

EUL (Chen & Yang 2023, EMNLP): W minimises the sum over requests i of |X_i W - X_i W_i|^2, where X_i is what went into
layer W_i on the passages of request i; only the Grams X_i'X_i are needed, un-normalised.
"""

from collections.abc import Sequence

import torch

from domain.errors import Code, RequestRejected


def fuse(
    layers: Sequence[torch.Tensor], grams: Sequence[torch.Tensor], ridge: float = 1e-3
) -> torch.Tensor:
    """The layer that does on each request's passages most nearly what that request's own layer does.

    W = (G + r I)^-1 (sum of G_i W_i + r mean W), G the sum of the Grams and r = ridge * the mean of G's diagonal: ridge
    towards the average. The papers' plain inverse returns garbage where a request has fewer tokens than the model is
    wide; here, what no request's tokens speak of stays at the average, at ridge 0 too (the limit from above).

    Args:
        layers: W_i (d, d) of each request.
        grams: X_i'X_i (d, d) of each, in the same order.
        ridge: as a share of the mean diagonal.

    Returns:
        (d, d), in the dtype of the layers; computed in float64.

    Raises:
        RequestRejected: no layer, not as many Grams as layers, another shape, or a negative ridge.
    """
    fits = len(layers) == len(grams) > 0 and ridge >= 0
    if not fits or any(m.shape != layers[0].shape for m in (*layers, *grams)):
        raise RequestRejected(
            Code.POLICY_INVALID,
            place="fusion of unlearning layers",
            remedy="give one Gram matrix of the layer's width for each layer, and a ridge of at least 0.",
        )
    weights = torch.stack([w.double() for w in layers])
    moments = torch.stack([g.double() for g in grams])
    mean, total = weights.mean(0), moments.sum(0)
    held = ridge * total.diagonal().mean() * torch.eye(len(total), dtype=total.dtype).to(total)
    pulled = (moments @ (weights - mean)).sum(0)  # G W_fused - G mean, where no ridge holds it
    fused: torch.Tensor = mean + torch.linalg.pinv(total + held, hermitian=True) @ pulled
    return fused.to(layers[0].dtype)


def misfit(
    layer: torch.Tensor, layers: Sequence[torch.Tensor], grams: Sequence[torch.Tensor]
) -> float:
    """sum over requests i of |X_i W - X_i W_i|^2, from the Grams."""
    gaps = [(layer - w).double() for w in layers]
    return sum(
        float((gap.T @ g.double() @ gap).trace()) for gap, g in zip(gaps, grams, strict=True)
    )
