"""Train a small causal or masked model from nothing until it knows its text: victims, teachers, retrained controls.

Where Lethe is tried out nothing can be downloaded: demo, tests and benchmarks make their own models here.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from unlearning.models import LanguageModel, best_device

END = "<|endoftext|>"
PADDING = "<|padding|>"


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which every digit is a token of its own, so that numbers have one spelling."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[END, PADDING],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=PADDING
    )


def new_model(
    tokenizer: PreTrainedTokenizerFast, *, width: int, layers: int, context: int, seed: int
) -> LanguageModel:
    """A GPT-2-shaped model with random weights, no dropout."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=context,
        n_embd=width,
        n_layer=layers,
        n_head=max(2, width // 32),
        activation_function="gelu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LanguageModel(GPT2LMHeadModel(config).to(best_device()), tokenizer, masked=False)


@dataclass(frozen=True)
class Pretraining:
    """Next-token training on shuffled, packed texts: AdamW, linear warm-up, cosine to a tenth.

    Attributes:
        steps: optimiser steps at most.
        batch, length: tokens per step are `batch * length`.
        rate: the highest learning rate.
        seconds: wall-clock budget; the schedule is by steps, the budget only stops it.
    """

    steps: int
    batch: int = 16
    length: int = 96
    rate: float = 3e-3
    warm_up: int = 50
    seed: int = 0
    seconds: float = math.inf

    def run(
        self,
        model: LanguageModel,
        texts: Sequence[str],
        *,
        every: int = 100,
        report: Callable[[int, float], bool] | None = None,
    ) -> int:
        """Train in place; returns the steps taken.

        `report(step, loss)` is called every `every` steps and ends the training by returning True.
        """
        network, started = model.network.train(), time.monotonic()
        decayed = [p for p in network.parameters() if p.dim() > 1]
        plain = [p for p in network.parameters() if p.dim() <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
            lr=self.rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        blocks = self._blocks(model, texts)
        step = 0
        for step in range(1, self.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = self.rate * self._schedule(step)
            ids = next(blocks)  # (batch, length)
            with model.autocast():
                logits = network(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten()
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            if step % every == 0 and report is not None:
                network.eval()
                done = report(step, float(loss.detach()))
                network.train()
                if done:
                    break
            if time.monotonic() - started > self.seconds:
                break
        optimizer.zero_grad(set_to_none=True)
        network.eval()
        return step

    def _schedule(self, step: int) -> float:
        if step < self.warm_up:
            return step / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))

    def _blocks(self, model: LanguageModel, texts: Sequence[str]) -> Iterator[torch.Tensor]:
        """Endless (batch, length) blocks: texts in a new order each round, joined by the end token."""
        end = model.tokenizer.eos_token_id
        rows = [
            [end, *ids]
            for ids in model.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        ]
        order = random.Random(self.seed)
        stream: list[int] = []
        need = self.batch * self.length
        while True:
            while len(stream) < need:
                order.shuffle(rows)
                stream.extend(token for row in rows for token in row)
            block = torch.tensor(stream[:need], dtype=torch.long).view(self.batch, self.length)
            stream = stream[need:]
            yield block.to(model.device)
