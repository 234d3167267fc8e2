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
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from unlearning.encoding import pad
from unlearning.models import LanguageModel, best_device

END = "<|endoftext|>"
PADDING = "<|padding|>"

_Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Inputs and attention (B, T), labels (B, T or T - 1)."""


START, STOP, MASK = "[CLS]", "[SEP]", "[MASK]"


def train_tokenizer(
    texts: Sequence[str], vocabulary: int, *, masked: bool = False
) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which every digit is a token of its own, so that numbers have one spelling.

    For a masked model every text stands between [CLS] and [SEP].
    """
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
            special_tokens=[END, PADDING, *((START, STOP, MASK) if masked else ())],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if masked:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{START} $A {STOP}",
            special_tokens=[(t, tokenizer.token_to_id(t)) for t in (START, STOP)],
        )
        own = {"cls_token": START, "sep_token": STOP, "mask_token": MASK}
    else:
        own = {"bos_token": END, "eos_token": END}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PADDING, **own)


def new_model(
    tokenizer: PreTrainedTokenizerFast,
    *,
    width: int,
    layers: int,
    context: int,
    seed: int,
    heads: int = 0,
    table: int = 0,
) -> LanguageModel:
    """A model with random weights, no dropout: GPT-2-shaped, or BERT-shaped when the tokenizer has a mask.

    A GPT-2 has as many heads and rows in its embedding table as asked for; 0: one head for 32 of the width, a row for
    each token.
    """
    torch.manual_seed(seed)
    if tokenizer.mask_token is not None:
        return _new_masked(tokenizer, width, layers, context)
    config = GPT2Config(
        vocab_size=table or len(tokenizer),
        n_positions=context,
        n_embd=width,
        n_layer=layers,
        n_head=heads or max(2, width // 32),
        activation_function="gelu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LanguageModel(GPT2LMHeadModel(config).to(best_device()), tokenizer, masked=False)


def _new_masked(
    tokenizer: PreTrainedTokenizerFast, width: int, layers: int, context: int
) -> LanguageModel:
    config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=context,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(2, width // 32),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LanguageModel(BertForMaskedLM(config).to(best_device()), tokenizer, masked=True)


@dataclass(frozen=True)
class Pretraining:
    """Next-token training on shuffled, packed texts: AdamW, linear warm-up, cosine to a tenth.

    A masked model reads one text a row and predicts the tokens hidden from it, in each text another share of `hidden`.

    Attributes:
        steps: optimiser steps at most.
        batch, length: tokens per step are `batch * length`.
        rate: the highest learning rate.
        seconds: wall-clock budget; the schedule is by steps, the budget only stops it.
        hidden: least and greatest share of a text's tokens that a masked model has to predict.
    """

    steps: int
    batch: int = 16
    length: int = 96
    rate: float = 3e-3
    warm_up: int = 50
    seed: int = 0
    seconds: float = math.inf
    hidden: tuple[float, float] = (0.1, 0.6)

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
        batches = self._masked(model, texts) if model.masked else self._packed(model, texts)
        step = 0
        for step in range(1, self.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = self.rate * self._schedule(step)
            inputs, attention, labels = next(batches)
            with model.autocast():
                logits = network(input_ids=inputs, attention_mask=attention).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, : labels.shape[1]].float().flatten(0, 1), labels.flatten()
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
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

    def _packed(self, model: LanguageModel, texts: Sequence[str]) -> Iterator[_Batch]:
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
            block, stream = block.to(model.device), stream[need:]
            yield block, torch.ones_like(block), block[:, 1:]

    def _masked(self, model: LanguageModel, texts: Sequence[str]) -> Iterator[_Batch]:
        """Endless batches of padded texts, tokens hidden anew each time; labels are -100 where nothing is hidden."""
        tokenizer, generator = model.tokenizer, torch.Generator().manual_seed(self.seed)
        rows = tokenizer(list(texts), truncation=True, max_length=model.context)["input_ids"]
        least, most = self.hidden
        order = random.Random(self.seed)
        while True:
            order.shuffle(rows)
            for at in range(0, len(rows), self.batch):
                ids, attention = pad(rows[at : at + self.batch], 0, torch.device("cpu"))
                share = least + (most - least) * torch.rand(len(ids), 1, generator=generator)
                hidden = torch.rand(ids.shape, generator=generator) < share
                hidden &= attention.bool()
                hidden[:, 0] = False
                hidden[torch.arange(len(ids)), attention.sum(1) - 1] = False  # [SEP]
                inputs = ids.masked_fill(hidden, tokenizer.mask_token_id)
                labels = ids.masked_fill(~hidden, -100)
                device = model.device
                yield inputs.to(device), attention.to(device), labels.to(device)
