"""Train one shard so that it can be trained again without somebody, byte for byte as if they had never been there.

"Trained without the person" means: by the same recipe and key on the same documents, in the same shard, except that the
person's documents are left out as a whole. The order of the documents in each round is that of a digest of seed, round
and document, so that leaving one out moves no other before or behind another: up to the first batch in which the person
was, both trainings are the same. So a log of what each step read, and weights with optimiser state every so often, are
enough to go on from the last point before that batch (replay; arXiv 2508.12220), and no text of the person is needed to
find it. Slices (SISA, Bourtoule et al. 2021) are the same with points after each stage: stage j of R reads slices 1 to
j for 2j / (R(R + 1)) of the steps. No dropout, single precision, deterministic kernels.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import count, islice, takewhile
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import nn

from domain.errors import Code, UnlearningFailed
from domain.records import Passage
from domain.secrecy import Secret
from unlearning.deltas import WHOLE, combined, part, saved, weights_sha256, written
from unlearning.encoding import encode, pad, readable
from unlearning.lora import matrices
from unlearning.models import Kind, LanguageModel, copy_of
from unlearning.recipe import Recipe

LOG = "log.jsonl"
_POINT = "point-{}.safetensors"
_STATE = ("step", "exp_avg", "exp_avg_sq")  # of AdamW


class Text(NamedTuple):
    """A document as a shard reads it: the keyed digest that says its place in the order, its slice, words and class."""

    tag: str
    slice: int
    text: str
    label: int | None = None


class Row(NamedTuple):
    """A piece of a document that is read at once."""

    tag: str
    slice: int
    ids: tuple[int, ...]
    label: int | None = None


_Learner = tuple[nn.Module, Callable[[Mapping[str, torch.Tensor]], dict[str, bytes]]]
"""The network that learns, and how what it has learnt becomes files."""


class Trained(NamedTuple):
    """A shard's files, the steps that were taken to make them, and the loss of each: nats per token, or per text."""

    files: dict[str, bytes]
    losses: list[float]


def train_shard(
    base: LanguageModel,
    texts: Sequence[Text],
    recipe: Recipe,
    number: int,
    *,
    earlier: Mapping[str, bytes] | None = None,
    alive: Callable[[], None] = lambda: None,
) -> Trained:
    """Train shard `number` on its documents, an adapter or all weights; the base stays as it is.

    Args:
        base: the frozen model; no person is in it.
        texts: the shard's documents, in any order.
        recipe: how.
        number: of the shard.
        earlier: files of a training of this shard on more documents, whose points are made use of where its log says
            that base and recipe were the same.
        alive: called before each step; raises to stop.

    Raises:
        UnlearningFailed: METHOD_DIVERGED; METHOD_INAPPLICABLE when there is nothing to read, or peft did something else
            than a plain LoRA.
    """
    plan = list(_batches(_rows(base, texts, recipe), recipe))
    keep, losses = _points(recipe), list[float]()
    log = _log(plan, recipe, number, weights_sha256(base.network)) if keep else b""
    begin, point = _resumed(earlier or {}, log)
    files = {n: f for n, f in (earlier or {}).items() if 0 < _step_of(n) <= begin}
    probe = next(filter(None, plan), None)
    if probe is None:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place=f"the documents of shard {number}",
            remedy="their texts are empty, so there is nothing to learn; leave them out.",
        )
    before = _said(base.network, probe)
    learner = _adapted(base, recipe, recipe.seed + number) if recipe.rank else _copied(base)
    with _deterministic(recipe), learner as (network, files_of):
        learning = {n: p for n, p in network.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(learning.values(), lr=recipe.rate, weight_decay=0.0)
        _restore(optimizer, learning, begin, point)
        for step in range(begin, recipe.steps):
            alive()
            if plan[step]:
                losses.append(_step(network, optimizer, plan[step], _rate(recipe, step)))
            if step + 1 in keep:
                files[_POINT.format(step + 1)] = _point(optimizer, learning)
        files |= files_of(learning)
        adapted = _said(network, probe)
    whole = combined(base, [part(files)]).network
    _require_finite(losses, whole)
    _require_same(_said(whole, probe), adapted, before)
    if keep:
        files[LOG] = log
    return Trained(files, losses)


def _rows(base: LanguageModel, texts: Sequence[Text], recipe: Recipe) -> list[Row]:
    """Start token, words, end token; what is longer than a row goes on in the next.

    A classifier reads windows of its whole context, as it does when it is asked.
    """
    if base.kind is Kind.CLASSIFIER:
        return [
            Row(f"{text.tag}+{n}", text.slice, window.source, text.label)
            for text in texts
            for n, window in enumerate(encode(base, [_passage(text)]))
        ]
    tokenizer, room = base.tokenizer, min(recipe.length, base.context)
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    found = []
    for text in texts:
        words = readable(text.text)
        ids = tokenizer(words, add_special_tokens=False, verbose=False)["input_ids"]
        whole = [start, *ids, tokenizer.eos_token_id]
        # one token is read twice, so that each is predicted
        pieces = range(0, max(1, len(whole) - 1), room - 1)
        found += [
            Row(f"{text.tag}+{at}", text.slice, tuple(whole[at : at + room])) for at in pieces
        ]
    return found


def _passage(text: Text) -> Passage:
    return Passage("", Secret(text.text), (), "", label=text.label)


def _batches(rows: Sequence[Row], recipe: Recipe) -> Iterator[list[Row]]:
    """What each step reads; nothing while the first slices are empty."""
    before = 0
    for stage in range(1, recipe.slices + 1):
        mine = [row for row in rows if row.slice < stage]
        until, stream = _end_of(stage, recipe), _endless(mine, f"{recipe.seed}:{stage}")
        for _ in range(before, until):
            yield list(islice(stream, recipe.batch))
        before = until


def _end_of(stage: int, recipe: Recipe) -> int:
    """Steps until a stage's end."""
    r = recipe.slices
    return round(recipe.steps * stage * (stage + 1) / (r * (r + 1)))


def _endless(rows: Sequence[Row], seed: str) -> Iterator[Row]:
    """The rows again and again, each round in the order of a digest of its own."""

    def place(row: Row, turn: int) -> bytes:
        return hashlib.sha256(f"{seed}:{turn}:{row.tag}".encode()).digest()

    for turn in count() if rows else ():
        yield from sorted(rows, key=partial(place, turn=turn))


def _log(plan: Sequence[Sequence[Row]], recipe: Recipe, number: int, base: str) -> bytes:
    """All that a point depends on: a line of shard, base and recipe, then one for each step up to it."""
    head = {"shard": number, "base": base, "recipe": asdict(recipe)}
    steps = (
        {
            "step": n,
            "rate": _rate(recipe, n),
            "seed": recipe.seed + number,
            "read": _fingerprint(batch),
        }
        for n, batch in enumerate(plan)
    )
    return "".join(json.dumps(x, sort_keys=True) + "\n" for x in (head, *steps)).encode()


def _fingerprint(batch: Sequence[Row]) -> str:
    """SHA-256 of what a step reads, in order: of keyed digests and classes, so that no text can be guessed from it."""
    return hashlib.sha256("\n".join(f"{r.tag} {r.label}" for r in batch).encode()).hexdigest()


def _points(recipe: Recipe) -> frozenset[int]:
    """After which steps weights and optimiser state are kept."""
    stages = {_end_of(stage, recipe) for stage in range(1, recipe.slices)}
    regular = range(recipe.every, recipe.steps + 1, recipe.every) if recipe.every else ()
    last = {recipe.steps} if recipe.every else set()
    return frozenset(stages | set(regular) | last)


def _resumed(earlier: Mapping[str, bytes], log: bytes) -> tuple[int, bytes | None]:
    """The last kept point before anything is other than what the earlier log says, and its content."""
    lines = zip(earlier.get(LOG, b"").splitlines(), log.splitlines(), strict=False)
    same = sum(1 for _ in takewhile(lambda two: two[0] == two[1], lines)) - 1  # the first: no step
    begin = max((_step_of(n) for n in earlier if _step_of(n) <= same), default=0)
    return begin, earlier.get(_POINT.format(begin))


def _step_of(name: str) -> int:
    """The step after which a point was kept; 0 for other files."""
    digits = name.removeprefix("point-").removesuffix(".safetensors")
    return int(digits) if digits.isdecimal() else 0


def _rate(recipe: Recipe, step: int) -> float:
    """Learning rate of a step from 0."""
    warm_up = max(1, recipe.steps // 10)
    if step < warm_up:
        return recipe.rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, recipe.steps - warm_up)
    return recipe.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, batch: Sequence[Row], rate: float
) -> float:
    """One step on the mean loss of all tokens of a batch, or of its texts' classes; the loss before it, in nats."""
    ids, attention = _padded(network, batch)  # (B, T)
    logits = network(input_ids=ids, attention_mask=attention).logits.float()
    if logits.dim() == 2:  # of classes
        labels = torch.tensor([row.label for row in batch], device=ids.device)
    else:
        logits = logits[:, :-1].flatten(0, 1)
        labels = ids[:, 1:].masked_fill(~attention[:, 1:].bool(), -100).flatten()
    loss = nn.functional.cross_entropy(logits, labels)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    return float(loss.detach())


def _point(optimizer: torch.optim.Optimizer, learning: Mapping[str, nn.Parameter]) -> bytes:
    """Weights and optimiser state: without the latter a replay ends elsewhere."""
    tensors = {f"weight:{name}": p for name, p in learning.items()}
    for name, p in learning.items():
        tensors |= {f"{part}:{name}": value for part, value in optimizer.state[p].items()}
    return saved(tensors)


@torch.no_grad()
def _restore(
    optimizer: torch.optim.Optimizer,
    learning: Mapping[str, nn.Parameter],
    begin: int,
    point: bytes | None,
) -> None:
    if not begin or point is None:
        return
    tensors = safetensors.torch.load(point)
    for name, p in learning.items():
        p.copy_(tensors[f"weight:{name}"])
        own = {part: tensors.get(f"{part}:{name}") for part in _STATE}
        if None not in own.values():  # none before the first step
            device = {"step": "cpu"}
            optimizer.state[p] = {k: t.to(device.get(k, p.device)) for k, t in own.items()}


@contextmanager
def _adapted(base: LanguageModel, recipe: Recipe, seed: int) -> Iterator[_Learner]:
    """The base under a fresh adapter, evaluating, nothing but the adapter learning; the base as it was afterwards."""
    from peft import LoraConfig, LoraModel

    network, found, transposed = base.network, *matrices("sisa", base)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=2 * recipe.rank,
        target_modules=list(found),
        fan_in_fan_out=transposed,
        # as a classifier's, peft would want a head of its own beside the adapter
        task_type="CAUSAL_LM" if base.kind is Kind.CAUSAL else None,
    )
    learning = {name: p.requires_grad for name, p in network.named_parameters()}
    with torch.random.fork_rng(range(torch.cuda.device_count())), base.evaluating():
        torch.manual_seed(seed)  # peft draws A from the global state
        adapted = LoraModel(
            network, config, "default"
        )  # always on a bare network: a second one resets the first
        adapted.eval()
        try:
            yield network, partial(written, {**config.to_dict(), "inference_mode": True})
        finally:
            adapted.unload()
            if hasattr(network, "peft_config"):
                del network.peft_config
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(learning[name])
                parameter.grad = None


@contextmanager
def _copied(base: LanguageModel) -> Iterator[_Learner]:
    """A copy of the base in single precision, evaluating, of which every weight learns."""
    own = copy_of(base)
    with own.evaluating():
        yield own.network.float().requires_grad_(True), lambda learnt: {WHOLE: saved(learnt)}


@contextmanager
def _deterministic(recipe: Recipe) -> Iterator[None]:
    """The recipe's number of threads, and kernels that give the same bits each time."""
    threads, was = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was)
        torch.set_num_threads(threads)


@torch.no_grad()
def _said(network: nn.Module, batch: Sequence[Row]) -> torch.Tensor:
    """Logits on a batch, (B, T, V) or those of its classes (B, C)."""
    ids, attention = _padded(network, batch)
    logits: torch.Tensor = network(input_ids=ids, attention_mask=attention).logits
    return logits


def _padded(network: nn.Module, batch: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask (B, T); some classifiers find the end of a text by what it is filled up with."""
    config: Any = network.config
    fill = 0 if batch[0].label is None else int(config.pad_token_id)
    return pad([row.ids for row in batch], fill, next(network.parameters()).device)


def _require_finite(losses: Sequence[float], network: nn.Module) -> None:
    """No loss ran away, nor did the weights in the last step, whose loss nobody has seen."""
    weights = all(bool(torch.isfinite(p).all()) for p in network.parameters())
    if not weights or not all(map(math.isfinite, losses)):
        raise UnlearningFailed(
            Code.METHOD_DIVERGED,
            place="the training of a shard",
            remedy="its numbers ran away; train with a lower rate.",
        )


def _require_same(ours: torch.Tensor, theirs: torch.Tensor, before: torch.Tensor) -> None:
    """Base + delta, as it will be served, says what the adapted network said: a thousandth of what it changed."""
    change, off = float((theirs - before).abs().max()), float((ours - theirs).abs().max())
    if off > 1e-3 * change + 1e-4:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place="the training of a shard",
            remedy="peft's adapter is more than base + delta; install the version of peft that Lethe names.",
        )
