"""Train a small model of any kind from nothing until it knows its text: victims, teachers, retrained controls.

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
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from domain.records import Passage
from domain.secrecy import Secret
from unlearning.batches import Batch, batch_of, endless
from unlearning.corpus import Lesson, words
from unlearning.encoding import encode, pad, readable
from unlearning.models import Kind, LanguageModel, best_device

END = "<|endoftext|>"
PADDING = "<|padding|>"

START, STOP, MASK = "[CLS]", "[SEP]", "[MASK]"


def train_tokenizer(
    texts: Sequence[str], vocabulary: int, *, kind: Kind = Kind.CAUSAL
) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which every digit is a token of its own, so that numbers have one spelling.

    For a masked model and a classifier every text stands between [CLS] and [SEP].
    """
    masked = kind in {Kind.MASKED, Kind.CLASSIFIER}
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
    kind: Kind = Kind.CAUSAL,
    gated: bool = False,
    classes: int = 2,
    rotary: bool = False,
) -> LanguageModel:
    """A model with random weights, no dropout: shaped like GPT-2 or Llama, BERT, T5, or BERT with a head for classes.

    Args:
        tokenizer: from `train_tokenizer`, for the same kind.
        width: of the hidden states.
        layers: of the network; a T5 has as many on either side.
        context: the longest sequence, in tokens.
        seed: the weights come from it.
        heads: of the attention; 0: one for 32 of the width.
        table: rows of a GPT-2's embedding table; 0: one for each token.
        kind: of the model.
        gated: whether a T5's feed-forward layers are gated, as those of T5 1.1.
        classes: that a classifier knows.
        rotary: whether a causal model has Llama's shape: rotary positions, gated feed-forward layers, RMS norms.
    """
    torch.manual_seed(seed)
    heads = heads or max(2, width // 32)
    network: PreTrainedModel
    if kind is Kind.CAUSAL and rotary:
        network = _llama(tokenizer, width, layers, context, heads)
    elif kind is Kind.CAUSAL:
        network = _gpt2(tokenizer, width, layers, context, heads, table=table)
    elif kind is Kind.SEQ2SEQ:
        network = _t5(tokenizer, width, layers, context, heads, gated=gated)
    else:
        config = BertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=context,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=tokenizer.pad_token_id,
            num_labels=classes,
        )
        shape = BertForMaskedLM if kind is Kind.MASKED else BertForSequenceClassification
        network = shape(config)
    return LanguageModel(network.to(best_device()), tokenizer, kind)


def _gpt2(
    tokenizer: PreTrainedTokenizerFast,
    width: int,
    layers: int,
    context: int,
    heads: int,
    *,
    table: int,
) -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=table or len(tokenizer),
        n_positions=context,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        activation_function="gelu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return GPT2LMHeadModel(config)


def _llama(
    tokenizer: PreTrainedTokenizerFast, width: int, layers: int, context: int, heads: int
) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=context,
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def _t5(
    tokenizer: PreTrainedTokenizerFast,
    width: int,
    layers: int,
    context: int,
    heads: int,
    *,
    gated: bool,
) -> PreTrainedModel:
    """As T5 has it, the decoder begins with the padding token."""
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=width // heads,
        d_ff=4 * width,
        num_layers=layers,
        num_heads=heads,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu" if gated else "relu",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        n_positions=context,
    )
    return T5ForConditionalGeneration(config)


@dataclass(frozen=True)
class Pretraining:
    """Next-token training on shuffled, packed texts: AdamW, linear warm-up, cosine to a tenth.

    A masked model reads one text a row and predicts the tokens hidden from it, in each text another share of `hidden`.
    A seq2seq model learns the answer of each text, a classifier its class: they are given passages (`encode`).

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
        texts: Sequence[Lesson],
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
        batches = {Kind.CAUSAL: self._packed, Kind.MASKED: self._masked}.get(
            model.kind, self._rows
        )(model, texts)
        step = 0
        for step in range(1, self.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = self.rate * self._schedule(step)
            batch = next(batches)
            labels = batch.labels.masked_fill(~batch.valid, -100)
            loss = torch.nn.functional.cross_entropy(
                batch.logits(model).flatten(0, 1), labels.flatten()
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

    def _rows(self, model: LanguageModel, texts: Sequence[Lesson]) -> Iterator[Batch]:
        """Endless batches of passages with their answers or classes."""
        generator = torch.Generator().manual_seed(self.seed)
        passages = (Passage("", Secret(t), (), "") if isinstance(t, str) else t for t in texts)
        for rows in endless(encode(model, passages), self.batch, generator):
            yield batch_of(model, rows, generator)

    def _packed(self, model: LanguageModel, texts: Sequence[Lesson]) -> Iterator[Batch]:
        """Endless (batch, length) blocks: texts in a new order each round, joined by the end token."""
        end = model.tokenizer.eos_token_id
        rows = [
            [end, *ids]
            for ids in model.tokenizer(
                [readable(words(t)) for t in texts], add_special_tokens=False
            )["input_ids"]
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
            everything = torch.ones_like(block)
            valid = everything[:, 1:].bool()
            yield Batch(block, everything, block[:, 1:], ~valid, valid, 1)

    def _masked(self, model: LanguageModel, texts: Sequence[Lesson]) -> Iterator[Batch]:
        """Endless batches of padded texts, tokens hidden anew each time; only the hidden ones are valid."""
        tokenizer, generator = model.tokenizer, torch.Generator().manual_seed(self.seed)
        said = [readable(words(t)) for t in texts]
        rows = tokenizer(said, truncation=True, max_length=model.context)["input_ids"]
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
                inputs, attention, ids, hidden = (
                    t.to(model.device) for t in (inputs, attention, ids, hidden)
                )
                yield Batch(inputs, attention, ids, torch.zeros_like(hidden), hidden, 0)
