"""Train the annotator's own model: a small causal one that says whether a part of a text is private about a person.

    make annotator          (python -m flows.annotator_model)

It learns from generated texts alone (`detectors.annotationtext`), asked as the annotator asks (`detectors.scoring`),
and how good it is on frames and words that it never saw is printed at the end. Several questions follow each text, none
of which holds an answer: the answers are what is learnt, and a little of the next token beside them, which teaches the
model to look back into the text. The folder can be named in the policy, or given to `transformers serve`.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset
from transformers import PreTrainedTokenizerFast
from transformers.decision import DecisionConfig

from detectors.annotationquality import Quality, ask, best, quality
from detectors.annotationtext import DEVELOPMENT, HELD_OUT, TRAINING, Author, Written
from detectors.candidates import candidates
from detectors.scoring import NO, YES, Scoring, asked, disguised
from detectors.served import TEMPLATE
from unlearning import models, training
from unlearning.models import LanguageModel

OUT = Path("out/annotator")
_ASKED, _LONGEST = 10, 640  # questions about one text; tokens of a text with its questions
_NEXT = 0.3  # weight of the next token beside the answers
_SHARE = 0.15  # of the tokens, which are asked for their next one
_POOL = 8  # batches that are drawn at once, so that texts of like length come together
_EVERY = 30.0  # seconds between two lines of progress


@dataclass(frozen=True)
class Size:
    """How large a model, and how it is trained: `batch` texts a step, `seconds` in all.

    On a CPU the seconds are of processors, all threads of this process together; on CUDA those of the clock.
    """

    width: int
    layers: int
    vocabulary: int
    batch: int
    rate: float
    seconds: float


SIZES = {
    "cpu": Size(width=160, layers=4, vocabulary=2048, batch=8, rate=2e-3, seconds=560),
    "cuda": Size(width=384, layers=8, vocabulary=4096, batch=64, rate=1e-3, seconds=500),
}


class Task(NamedTuple):
    """A text with questions, and behind which token which answer belongs: yes is True."""

    ids: list[int]
    answers: list[tuple[int, bool]]


def train(size: Size, seed: int, report: Callable[[str], None] = print) -> LanguageModel:
    """A model trained for that long. The seed decides the texts, not how many there is time for."""
    author, chance = Author(TRAINING, seed), random.Random(seed)
    tokenizer = training.train_tokenizer(
        [_sample(author, chance) for _ in range(3000)], size.vocabulary
    )
    model = training.new_model(
        tokenizer, width=size.width, layers=size.layers, context=1024, seed=seed, rotary=True,
        heads=max(4, size.width // 48),
    )  # fmt: skip
    network, clock = model.network.train(), _clock(model)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=size.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    started = shown = clock()
    seen: list[tuple[float, float]] = []
    batches = DataLoader(
        _Ahead(author, tokenizer, chance, size.batch),
        batch_size=None,
        num_workers=1,
        prefetch_factor=2 * _POOL,
    )
    for step, batch in enumerate(batches, start=1):
        done = min(1.0, (clock() - started) / size.seconds)
        for group in optimizer.param_groups:
            group["lr"] = (
                size.rate * min(1.0, step / 60) * (0.05 + 0.475 * (1 + math.cos(math.pi * done)))
            )
        answers, following = losses(model, batch)
        optimizer.zero_grad(set_to_none=True)
        (answers + _NEXT * following).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        seen.append((float(answers.detach()), float(following.detach())))
        if clock() - shown > _EVERY or done == 1:
            shown = clock()
            means = [sum(column) / len(column) for column in zip(*seen, strict=True)]
            report(
                f"step {step}  {shown - started:.0f} of {size.seconds:.0f} s  "
                f"nats: answers {means[0]:.3f}, next token {means[1]:.2f}"
            )
            seen.clear()
        if done == 1:
            break
    network.eval()
    return model


def write(model: LanguageModel, folder: Path) -> None:
    """Save it with what `transformers serve` needs to ask as we do. Raises `FileExistsError`, `Unavailable`."""
    models.save(model, folder)
    DecisionConfig(labels={"noul": [YES, NO]}, chat_template=TEMPLATE).save_pretrained(folder)


def _sample(author: Author, chance: random.Random) -> str:
    """A text with a question and both answers: what the tokenizer is made from."""
    written = author.write()
    person = written.people[:1]
    part = chance.choice(candidates(written.text) or [(0, 1)])
    return disguised(person, written.text) + asked(person, written.text, part) + YES + "\n" + NO


def task(
    written: Written, owner: int, tokenizer: PreTrainedTokenizerFast, chance: random.Random
) -> Task:
    """A text with questions about one of its people: half of them to be answered yes where there are so many, and a
    quarter about what is private about others.
    """
    answers = {part: written.answer(part, owner) for part in candidates(written.text)}
    parts = list(answers)
    chance.shuffle(parts)
    yes = [part for part in parts if answers[part]][: _ASKED // 2]
    no = [part for part in parts if answers[part] is False]
    hard = [part for part in no if written.theirs(part, owner)][: _ASKED // 4]
    rest = [part for part in no if part not in hard]
    chosen = [*yes, *hard, *rest][:_ASKED]
    chance.shuffle(chosen)
    person = written.people[owner : owner + 1]
    asks = [asked(person, written.text, part) for part in chosen]
    ids, *questions = tokenizer([disguised(person, written.text), *asks])["input_ids"]
    places: list[tuple[int, bool]] = []
    for part, question in zip(chosen, questions, strict=True):
        if len(ids) + len(question) <= _LONGEST:
            ids = ids + question
            places.append((len(ids) - 1, bool(answers[part])))
    return Task(ids, places)


def _tasks(
    author: Author, tokenizer: PreTrainedTokenizerFast, chance: random.Random
) -> Iterator[Task]:
    """Endless tasks about people whom their text names, with at least one question."""
    while True:
        written = author.write()
        owner = chance.randrange(len(written.people))
        if written.people[owner] in written.text:
            made = task(written, owner, tokenizer, chance)
            if made.answers:
                yield made


def _batches(
    author: Author, tokenizer: PreTrainedTokenizerFast, chance: random.Random, size: int
) -> Iterator[list[Task]]:
    """Endless batches of tasks of like length."""
    tasks = _tasks(author, tokenizer, chance)
    while True:
        pool = sorted((next(tasks) for _ in range(size * _POOL)), key=lambda task: len(task.ids))
        batches = [pool[at : at + size] for at in range(0, len(pool), size)]
        chance.shuffle(batches)
        yield from batches


@dataclass
class _Ahead(IterableDataset[list[Task]]):
    """The batches, as a process of its own writes them while the model learns."""

    author: Author
    tokenizer: PreTrainedTokenizerFast
    chance: random.Random
    size: int

    def __iter__(self) -> Iterator[list[Task]]:
        return _batches(self.author, self.tokenizer, self.chance, self.size)


def losses(model: LanguageModel, batch: Sequence[Task]) -> tuple[Tensor, Tensor]:
    """Cross entropy of the answers, yes against no, and of some next tokens of the texts, in nats."""
    yes, no = (model.tokenizer(word)["input_ids"][-1] for word in (YES, NO))
    longest = max(len(task.ids) for task in batch)
    rows = [task.ids + [model.tokenizer.pad_token_id] * (longest - len(task.ids)) for task in batch]
    ids = torch.tensor(rows, device=model.device)  # [texts, tokens]
    with torch.autocast(ids.device.type, torch.bfloat16):
        hidden = model.network.base_model(ids)[0]  # [texts, tokens, width]
    hidden = hidden.float()
    head = model.network.get_output_embeddings().weight  # [vocabulary, width]
    places = [(n, end, answer) for n, task in enumerate(batch) for end, answer in task.answers]
    texts, ends, right = (
        torch.tensor(column, device=ids.device) for column in zip(*places, strict=True)
    )
    odds = hidden[texts, ends] @ (head[yes] - head[no])  # [answers]
    answers = functional.binary_cross_entropy_with_logits(odds, right.float())
    use = (ids[:, 1:] != model.tokenizer.pad_token_id) & (
        torch.rand(ids[:, 1:].shape, device=ids.device) < _SHARE
    )
    with torch.autocast(ids.device.type, torch.bfloat16):
        logits = hidden[:, :-1][use] @ head.T
    return answers, functional.cross_entropy(logits.float(), ids[:, 1:][use])


def _clock(model: LanguageModel) -> Callable[[], float]:
    return time.monotonic if model.device.type == "cuda" else time.process_time


def main() -> int:
    """Train, write, and say how good it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--size", choices=SIZES, default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--seconds", type=float, help="of training, in place of the size's own")
    parser.add_argument("--texts", type=int, default=100, help="of each set that it is measured on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    if arguments.out.exists():
        sys.exit(f"make annotator: {arguments.out} is there already; remove it to train anew.")
    size = SIZES[arguments.size]
    if arguments.seconds:
        size = Size(**vars(size) | {"seconds": arguments.seconds})
    model = train(size, arguments.seed, report=lambda line: print(line, flush=True))
    write(model, arguments.out)
    print(
        f"{model.network.num_parameters() / 1e6:.1f} million parameters, written to {arguments.out}"
    )
    measure(arguments.out, arguments.texts)
    return 0


def measure(folder: Path, texts: int) -> float:
    """Print how good the model is; returns the threshold that served it best on the frames for development."""
    scoring = Scoring(str(folder))
    sets = {
        which: ask(Author(which, 2), texts, lambda *asked: scoring.judge(*asked).score, 1)
        for which in (DEVELOPMENT, HELD_OUT)
    }
    threshold = best(sets[DEVELOPMENT])
    print(f"threshold: {threshold:.2f}, the one with the best F1 on the frames for development\n")
    print(
        "| frames | private parts found | marked spans that are right | others' private parts touched |"
    )
    print("|---|---|---|---|")
    for which, several in sets.items():
        print(f"| {which} | {shown(quality(several, threshold))} |", flush=True)
    return threshold


def shown(found: Quality) -> str:
    """The rates with their intervals."""
    return " | ".join(
        f"{e.value:.2f} ({e.low:.2f} to {e.high:.2f}, {e.hits} of {e.trials})" for e in found
    )


if __name__ == "__main__":
    sys.exit(main())
