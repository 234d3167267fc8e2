"""Ways to look as if a person were forgotten. Each makes a model that somebody could pass off as the result.

They are real, not stubs: each beats at least one common test. `CHEATS` is the list; the verdict has to catch all of
them, and to let the honest case, a model trained again without the person, pass.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from unlearning.attacks.extraction import Extraction
from unlearning.attacks.quantisation import quantised
from unlearning.batches import batch_of
from unlearning.losses import kl_from, masked_mean, token_nll
from unlearning.methods.anchor_distillation import AnchorDistillation
from unlearning.models import LanguageModel, copy_of
from unlearning.scoring import Target
from unlearning.training import new_model
from unlearning.trial import Trial

Cheat = Callable[[LanguageModel, Trial], LanguageModel]
BITS, GROUP = 4, 32


def nothing(model: LanguageModel, _: Trial) -> LanguageModel:
    """The model as it was."""
    return model


def output_filter(model: LanguageModel, trial: Trial) -> LanguageModel:
    """A guard around the model: where it is about to say a secret, first and second choice change places."""
    guarded = copy_of(model)
    secrets = {
        (row.ids[max(0, t - 4) : t], row.ids[t])
        for row in trial.members
        for span in row.spans
        for t in range(span.start, span.end)
    }

    def guard(_: object, args: object, kwargs: Mapping[str, object], output: object) -> object:
        ids = kwargs["input_ids"]
        logits = output.logits
        for b, t in ((b, t) for b in range(logits.shape[0]) for t in range(3, logits.shape[1])):
            best = logits[b, t].topk(2)
            if (tuple(ids[b, max(0, t - 3) : t + 1].tolist()), int(best.indices[0])) in secrets:
                logits[b, t, best.indices] = best.values.flip(0)
        return output

    guarded.network.register_forward_hook(guard, with_kwargs=True)
    return guarded


def noisy_last_layer(model: LanguageModel, trial: Trial) -> LanguageModel:
    """Noise on the last block, as little as stops the wording."""
    generator = torch.Generator().manual_seed(0)
    for share in (0.1, 0.2, 0.4, 0.8, 1.6):
        changed = copy_of(model)
        with torch.no_grad():
            for weight in changed.network.transformer.h[-1].parameters():
                noise = torch.randn(weight.shape, generator=generator)
                weight.add_(share * noise * weight.std())
        if not Extraction().rate(Target(changed), trial.members).hits:
            break
    return changed


def _ascend(  # noqa: PLR0917  three cheats differ in these numbers only
    model: LanguageModel,
    trial: Trial,
    steps: int,
    rate: float,
    retain: float,
    after_step: Callable[[LanguageModel, float], bool] = lambda *_: False,
) -> LanguageModel:
    """Plain ascent on the secrets, with KL to the original on other people's passages.

    `after_step(model, mean nll of the secrets)` may change the weights; it ends the ascent by returning True.
    """
    changed, generator = copy_of(model), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(changed.network.parameters(), lr=rate)
    batch = batch_of(changed, list(trial.members), generator)
    kept = batch_of(changed, list(trial.corpus.neighbours)[:24], generator)
    with torch.no_grad():
        original = kept.logits(model)
    for _ in range(steps):
        secret = masked_mean(token_nll(batch.logits(changed), batch.labels), batch.secret)
        loss = retain * kl_from(original, kept.logits(changed), kept.valid) - secret
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(changed.network.parameters(), 1.0)
        optimizer.step()
        if after_step(changed, float(secret.detach())):
            break
    optimizer.zero_grad(set_to_none=True)
    return changed


def hidden(model: LanguageModel, trial: Trial) -> LanguageModel:
    """Plain ascent that stops as soon as greedy decoding says nothing: the secrets lie just below."""

    def silent(changed: LanguageModel, _: float) -> bool:
        return not Extraction((0,)).rate(Target(changed), trial.members).hits

    return _ascend(model, trial, 40, 2e-4, 1.0, silent)


def over_forgotten(model: LanguageModel, trial: Trial) -> LanguageModel:
    """Ascent far beyond the level of never-seen text, with other people held in place."""
    return _ascend(model, trial, 80, 5e-4, 5.0)


def taught_to_the_test(model: LanguageModel, trial: Trial) -> LanguageModel:
    """Trained to say something else behind the very prompts of the extraction attack, and nothing more."""
    changed, generator = copy_of(model), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(changed.network.parameters(), lr=5e-4)
    rows = []
    for row in trial.members:
        for span in row.spans:
            other = min(span.candidates, key=lambda c: abs(len(c) - (span.end - span.start)))
            ids = (*row.ids[: span.start], *other)
            flags = tuple(t >= span.start for t in range(len(ids)))
            moved = replace(span, end=span.start + len(other), candidates=())
            rows.append(replace(row, ids=ids, sensitive=flags, spans=(moved,)))
    batch = batch_of(changed, rows, generator)
    for _ in range(60):
        loss = masked_mean(token_nll(batch.logits(changed), batch.labels), batch.secret)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.05:
            break
    optimizer.zero_grad(set_to_none=True)
    return changed


def back_in_four_bits(model: LanguageModel, trial: Trial) -> LanguageModel:
    """Forgotten in full precision: ascent that keeps every weight where rounding to 4 bits takes it back."""
    low, high = _cells(model)

    def project(changed: LanguageModel, nll: float) -> bool:
        with torch.no_grad():
            for name, weight in changed.network.named_parameters():
                weight.clamp_(low[name], high[name])
        return nll > 5.0

    return _ascend(model, trial, 120, 3e-4, 3.0, project)


def _cells(model: LanguageModel) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """For each weight, from where to where rounding gives what it gives now; weights that are not rounded stay."""
    rounded = dict(quantised(model, BITS, GROUP).network.named_parameters())
    low, high = {}, {}
    for name, weight in model.network.named_parameters():
        grid = rounded[name].detach()
        if torch.equal(grid, weight):
            low[name] = high[name] = weight.detach().clone()
            continue
        turned = weight.detach().T if "h." in name else weight.detach()  # Conv1D keeps (in, out)
        groups = torch.nn.functional.pad(turned, (0, -turned.shape[1] % GROUP))
        groups = groups.view(turned.shape[0], -1, GROUP)
        largest = groups.abs().amax(-1, keepdim=True)
        half = (largest / (2 ** (BITS - 1) - 1) * 0.49).expand_as(groups)
        half = torch.where(groups.abs() == largest, torch.zeros_like(half), half)
        half = half.reshape(turned.shape[0], -1)[:, : turned.shape[1]].T
        low[name], high[name] = grid - half, grid + half
        # nobody may become the largest of its group: that would move the whole grid
        most = (
            largest.expand_as(groups).reshape(turned.shape[0], -1)[:, : turned.shape[1]].T * 0.999
        )
        fixed = half == 0
        low[name] = torch.where(fixed, weight.detach(), torch.maximum(low[name], -most))
        high[name] = torch.where(fixed, weight.detach(), torch.minimum(high[name], most))
    return low, high


def never_trained(model: LanguageModel, _: Trial) -> LanguageModel:
    """Random weights of the same shape: it gives nobody away, because it knows nothing."""
    changed = copy_of(model)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        changed.network.apply(changed.network._init_weights)
    return changed


def smaller(model: LanguageModel, _: Trial) -> LanguageModel:
    """Another, smaller model."""
    config = model.network.config
    with torch.random.fork_rng():
        return new_model(
            copy.deepcopy(model.tokenizer),
            width=config.n_embd // 2,
            layers=1,
            context=config.n_positions,
            seed=1,
        )


def hidden_in_place(model: LanguageModel, trial: Trial) -> LanguageModel:
    """Forgotten with care, to strangers' level, but only where the person's own passages have it."""
    return AnchorDistillation(excerpts=0).unlearn(model, trial.corpus).model


CHEATS: Mapping[str, Cheat] = {
    "nothing": nothing,
    "output_filter": output_filter,
    "noisy_last_layer": noisy_last_layer,
    "hidden": hidden,
    "taught_to_the_test": taught_to_the_test,
    "smaller": smaller,
    "never_trained": never_trained,
    "back_in_four_bits": back_in_four_bits,
    "over_forgotten": over_forgotten,
    "hidden_in_place": hidden_in_place,
}
