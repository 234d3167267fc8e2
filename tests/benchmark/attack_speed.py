"""What attacking costs: the black-box suite beside one forward pass, extraction likelihood beside library generation.

    make attack-speed          (python -m tests.benchmark.attack_speed [--shapes 64x2 512x8 ...])

Everything is measured side by side in one run: the ways take turns, and the medians are compared. The model is shaped
like GPT-2 with a vocabulary of 8192 and random weights, for the suite costs the same whatever the model knows; EL is
measured on a model that knows the sequence by heart as well, where almost nothing has to be generated. Exits 1 where a
number differs or a target is missed. The raw seconds are in out/attack-speed.json. With `--shapes` only EL is measured,
on models of other widths and numbers of layers, and no file is written.
"""

import argparse
import copy
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from unlearning import training
from unlearning.attacks import memorisation
from unlearning.attacks.discoverable import Discoverable
from unlearning.attacks.extraction import Extraction
from unlearning.attacks.membership import Membership
from unlearning.attacks.memorisation import accuracy, likelihoods
from unlearning.attacks.strength import Strength
from unlearning.encoding import Encoded, by_length, encode, pad
from unlearning.models import LanguageModel, tokens_per_batch
from unlearning.scoring import Target

TEXTS, TOKENS, PEOPLE = 120, 100, 20  # half of the texts are one person's, the rest of the others
WIDTH, LAYERS, VOCABULARY, CONTEXT = 256, 6, 8192, 256
SEQUENCE = 128  # tokens, for EL
ROUNDS, EL_ROUNDS = 7, 3
MOST_PASSES, LEAST_RATIO = 1.5, 10.0
OUT = Path("out/attack-speed.json")


def main() -> int:
    """Measure, print a table, write the file; 0 when both targets are met and the numbers agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--shapes",
        nargs="+",
        default=[],
        metavar="WxL",
        help="measure EL alone, on models this wide with so many layers",
    )
    shapes = [tuple(map(int, shape.split("x"))) for shape in parser.parse_args().shapes]
    torch.set_num_threads(
        1
    )  # threads that share a busy processor wait for each other, and the ratios tell nothing
    order = random.Random(0)
    words = _words(order, 9000)
    texts = [_passage(order, words, n) for n in range(TEXTS)]
    said = [text.text.reveal() for text in texts] + [" ".join(words), " ".join(words).title()]
    tokenizer = training.train_tokenizer(said, VOCABULARY)

    def untrained(width: int, layers: int) -> LanguageModel:
        with torch.random.fork_rng():
            model = training.new_model(
                tokenizer, width=width, layers=layers, context=CONTEXT, seed=0
            )
        model.network.eval()
        return model

    if shapes:
        good = [_shape(untrained(*shape)) for shape in shapes]
        return int(not all(good))
    model = untrained(WIDTH, LAYERS)
    rows = encode(model, texts)
    suite = measure_suite(model, rows)
    likelihood, agree = measure_likelihood(model)
    report = {**suite, **likelihood}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    _print(report)
    good = report["suite_over_forward"] <= MOST_PASSES and report["el_ratio"] >= LEAST_RATIO
    print(f"written to {OUT}")
    return 0 if good and agree else 1


# ---- the black-box suite ----------------------------------------------------------------------------------------


def measure_suite(model: LanguageModel, rows: Sequence[Encoded]) -> dict[str, object]:
    """Seconds of one forward pass, of the loss alone, and of the suite, over the same batches."""
    half = len(rows) // 2
    members, controls = rows[:half], rows[half:]
    ways: dict[str, Callable[[], object]] = {
        "forward": lambda: forward(model, rows),
        "loss": lambda: loss(model, rows),
        "shared_pass": lambda: Target(model).scores(rows),
        "suite": lambda: suite(model, members, controls, Extraction()),
        "suite_one_prefix": lambda: suite(model, members, controls, Extraction((0,))),
    }
    _in_turns(ways, 1)  # warms up
    seconds = _in_turns(ways, ROUNDS)
    middle = {name: median(found) for name, found in seconds.items()}

    def more(name: str) -> float:
        return (middle[name] - middle["loss"]) / middle["forward"]

    return {
        "suite_over_forward": more("suite"),
        "suite_one_prefix_over_forward": more("suite_one_prefix"),
        "seconds": middle,
        "rounds": seconds,
        "texts": len(rows),
        "tokens_a_text": sum(map(len, rows)) / len(rows),
        "vocabulary": len(model.tokenizer),
        "parameters": model.network.num_parameters(),
        "threads": torch.get_num_threads(),
        "device": model.device.type,
    }


def suite(
    model: LanguageModel,
    members: Sequence[Encoded],
    controls: Sequence[Encoded],
    extraction: Extraction,
) -> None:
    """All that the shared pass answers: loss, zlib, lowercase (a pass of its own), Min-K%, Min-K%++, the secrets' loss,
    strength, discoverable extraction, extraction, memorisation accuracy.
    """
    target = Target(model)
    for attack in (Membership(), Strength(), Discoverable(), extraction):
        attack.run(target, members, controls)
    rows = [*members, *controls]
    for row, scores in zip(rows, target.scores(rows), strict=True):
        accuracy(row, scores)


@torch.no_grad()
def forward(model: LanguageModel, rows: Sequence[Encoded]) -> None:
    """The network alone."""
    for batch in by_length(rows, tokens_per_batch(model)):
        ids, mask = pad([rows[i].ids for i in batch], 0, model.device)
        with model.autocast():
            model.network(input_ids=ids, attention_mask=mask, use_cache=False)
    _wait()


@torch.no_grad()
def loss(model: LanguageModel, rows: Sequence[Encoded]) -> list[float]:
    """Mean nll of each row, and nothing else."""
    found: list[float] = []
    for batch in by_length(rows, tokens_per_batch(model)):
        ids, mask = pad([rows[i].ids for i in batch], 0, model.device)
        with model.autocast():
            logits = model.network(input_ids=ids, attention_mask=mask, use_cache=False).logits
        nll = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none"
        )
        found += ((nll * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)).tolist()
    return found


# ---- extraction likelihood --------------------------------------------------------------------------------------


def measure_likelihood(model: LanguageModel) -> tuple[dict[str, object], bool]:
    """EL_n of one sequence by our way and by one library generation for each prefix; do the numbers agree?"""
    order = random.Random(1)
    ids = (
        model.tokenizer.bos_token_id,
        *(order.randrange(300, len(model.tokenizer)) for _ in range(SEQUENCE)),
    )
    secret = range(60, 68)
    row = Encoded(ids, tuple(t in secret for t in range(len(ids))), (), "p", "")
    found: dict[str, dict[str, object]] = {}
    ratios: list[float] = []
    agree = True
    for name, knows in (("random", model), ("memorised", memorised(model, ids))):
        measured: dict[str, set[object]] = {"shared": set(), "generate": set()}

        def shared(knows: LanguageModel = knows, found: set[object] = measured["shared"]) -> None:
            found.add(likelihoods(knows, [row], 10, 3)[0])

        def generate(
            knows: LanguageModel = knows, found: set[object] = measured["generate"]
        ) -> None:
            with patch.object(memorisation, "continuations", generations):
                found.add(likelihoods(knows, [row], 10, 3)[0])

        seconds = _in_turns({"shared": shared, "generate": generate}, EL_ROUNDS)
        middle = {way: median(times) for way, times in seconds.items()}
        same = len(measured["shared"] | measured["generate"]) == 1
        agree = agree and same
        ratios.append(middle["generate"] / middle["shared"])
        found[name] = {
            "ratio": ratios[-1],
            "seconds": middle,
            "rounds": seconds,
            "el_and_secret_el": next(iter(measured["shared"])),
            "same_numbers": same,
        }
    return {"el_ratio": min(ratios), "el": found}, agree


def _shape(model: LanguageModel) -> bool:
    """EL of one model, printed; are its numbers the same, and is the target met?"""
    report, agree = measure_likelihood(model)
    print(f"{model.network.num_parameters():,} parameters")
    _print_likelihood(report)
    return agree and report["el_ratio"] >= LEAST_RATIO


@torch.no_grad()
def generations(
    model: LanguageModel, texts: Sequence[Sequence[int]], prefixes: Sequence[Sequence[int]]
) -> list[list[list[int]]]:
    """What `continuations` gives for one text, by one call of the library for each prefix."""
    (ids,), end, found = texts, model.tokenizer.eos_token_id, []
    for prefix in prefixes[0]:
        whole = model.network.generate(
            torch.tensor([ids[:prefix]], device=model.device),
            attention_mask=torch.ones(1, prefix, dtype=torch.long, device=model.device),
            max_new_tokens=len(ids) - prefix,
            do_sample=False,
            pad_token_id=model.tokenizer.pad_token_id,
        )[0, prefix:].tolist()
        found.append(whole[: whole.index(end)] if end in whole else whole)
    return [found]


def memorised(model: LanguageModel, ids: Sequence[int], steps: int = 60) -> LanguageModel:
    """A copy that was trained on the one sequence until it says all of it."""
    knows = replace(model, network=copy.deepcopy(model.network).train())
    row = torch.tensor([list(ids)], device=model.device)
    optimizer = torch.optim.Adam(knows.network.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        knows.network(input_ids=row, labels=row).loss.backward()
        optimizer.step()
    knows.network.eval()
    with torch.no_grad():
        said = knows.network(input_ids=row).logits[0, :-1].argmax(-1)
    if not torch.equal(said, row[0, 1:]):
        raise RuntimeError("the sequence was not learnt by heart; train longer")
    return knows


# ---- the common part --------------------------------------------------------------------------------------------


def _in_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, `rounds` times, in turns: of processor time on a CPU, which others do not lengthen."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            _wait()
            started = clock()
            way()
            _wait()
            seconds[name].append(clock() - started)
    return seconds


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _words(order: random.Random, count: int) -> list[str]:
    """Made-up words of two to four syllables."""
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = range(order.randint(2, 4))
        found[
            "".join(order.choice("bdfgklmnprstvz") + order.choice("aeiou") for _ in syllables)
        ] = None
    return list(found)


def _passage(order: random.Random, words: Sequence[str], number: int) -> Passage:
    """Sentences with one number of eight digits behind the middle; about `TOKENS` tokens."""
    value = str(order.randint(10**7, 10**8 - 1))
    head = " ".join(_sentence(order, words) for _ in range(5))
    tail = " ".join(_sentence(order, words) for _ in range(2))
    lead = f"{head} The account is "
    span = SensitiveSpan(
        "", len(lead), len(lead) + len(value), SpanKind.NUMBER, Owner.SUBJECT, "given", 1.0
    )
    person = 0 if number < TEXTS // 2 else 1 + number % (PEOPLE - 1)
    return Passage("", Secret(f"{lead}{value}. {tail}"), (span,), f"p{person}")


def _sentence(order: random.Random, words: Sequence[str]) -> str:
    return " ".join(order.choice(words) for _ in range(8)).capitalize() + "."


def _print(report: Mapping[str, object]) -> None:
    seconds = report["seconds"]
    assert isinstance(seconds, dict)
    print(
        f"{report['texts']} texts of {report['tokens_a_text']:.0f} tokens, {report['parameters']:,} parameters, "
        f"vocabulary {report['vocabulary']}, {report['device']}, {report['threads']} threads"
    )
    print(f"{'way':<28}{'seconds':>10}{'forward passes':>16}{'more than loss':>16}")
    for name, value in seconds.items():
        passes, more = value / seconds["forward"], (value - seconds["loss"]) / seconds["forward"]
        print(f"{name:<28}{value:>10.3f}{passes:>16.2f}{more:>16.2f}")
    print(f"suite: {report['suite_over_forward']:.2f} more, at most {MOST_PASSES}\n")
    _print_likelihood(report)


def _print_likelihood(report: Mapping[str, object]) -> None:
    el = report["el"]
    assert isinstance(el, dict)
    print(
        f"{f'EL of {SEQUENCE} tokens':<28}{'shared':>10}{'generate':>12}{'ratio':>8}  same numbers"
    )
    for name, one in el.items():
        s = one["seconds"]
        print(
            f"{name:<28}{s['shared']:>10.3f}{s['generate']:>12.3f}{one['ratio']:>8.1f}  {one['same_numbers']}"
        )


if __name__ == "__main__":
    sys.exit(main())
