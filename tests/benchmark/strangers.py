"""How well made-up people stand for people whom a model never saw, and what that does to the verdict's numbers.

    python -m tests.benchmark.strangers          (minutes; --towns 8)

Every town is two small models, one that knows the person and one trained again without. The person is a stranger to the
second: a made-up person ought to look like them. Two ways to make words that nobody has: `letters`, as shipped, each
following two others as in other people's words; and `pattern`, the true word's vowels and consonants drawn anew, those
words kept whose number of tokens is nearest to the true word's. Beside it what is left of the person after
`anchor_distillation` by its defaults. Bits and nats are the person's less the mean of the made-up people's; zero is
what never seen should read.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from unittest import mock

from tests import tiny
from tests.benchmark.verdict_power import POLICY, STEPS, retrained
from unlearning.attacks import ATTACKS
from unlearning.lookalikes import Pool, cased, fresh_letter
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.trial import Trial, assess, prepare

RESULTS = Path("out/strangers.json")
_DRAWN, _KEPT = 2000, 100
"""Words by pattern that are drawn, and those of the nearest number of tokens of which one is taken."""
Row = dict[str, float]


def by_pattern(model: LanguageModel) -> Callable[[Pool, str, random.Random], str]:
    """What takes the place of `Pool.fresh_word`: words of the same vowels, consonants and tokens."""

    def tokens(words: Sequence[str]) -> list[tuple[int, ...]]:
        forms = [form for w in words for form in (w, f" {w}", f" {w.capitalize()}")]
        counts = [len(ids) for ids in model.tokenizer(forms, add_special_tokens=False).input_ids]
        return [tuple(counts[at : at + 3]) for at in range(0, len(counts), 3)]

    @cache
    def fitting(pattern: str, wanted: tuple[int, ...]) -> list[str]:
        order = random.Random(pattern)
        drawn = {"".join(fresh_letter(c, order) for c in pattern) for _ in range(_DRAWN)}
        made = sorted(drawn)
        apart = {
            word: sum(abs(a - b) for a, b in zip(found, wanted, strict=True))
            for word, found in zip(made, tokens(made), strict=True)
        }
        order.shuffle(made)
        return sorted(made, key=apart.__getitem__)[:_KEPT]

    def fresh_word(pool: Pool, like: str, order: random.Random) -> str:
        word = like.casefold()
        pattern = "".join("a" if c in "aeiou" else "b" for c in word)
        made = [w for w in fitting(pattern, *tokens([word])) if w != word and not pool.has(w)]
        return cased(like, order.choice(made))

    return fresh_word


def town(number: int) -> dict[str, dict[str, Row]]:
    """By way and model, what the person has more than the made-up people."""
    place = tiny.town(seed=100 + number)
    victim = tiny.victim(place, steps=STEPS, seed=number)
    again = retrained(victim, place, 1000 + number)
    person = tiny.passages(place.known[0], "p0")
    others = [p for n, x in enumerate(place.known[1:], 1) for p in tiny.passages(x, f"p{n}")]
    sentences = tiny.sentences(place)
    found = {}
    for way, word in {"letters": Pool.fresh_word, "pattern": by_pattern(victim)}.items():
        with mock.patch.object(Pool, "fresh_word", word):
            trial = prepare(
                victim, person, others, sentences, seed=number, controls=POLICY.comparison.controls
            )
            unlearned = METHODS["anchor_distillation"]().unlearn(victim, trial.corpus).model
        found[way] = {
            name: _gaps(model, trial)
            for name, model in {"retrained": again, "method": unlearned}.items()
        }
    return found


def _gaps(model: LanguageModel, trial: Trial) -> Row:
    """The person's numbers less the made-up people's mean, or less the end of their range."""
    tried = {name: ATTACKS[name]() for name in ("exposure", "membership")}
    seen = assess(model, "0" * 64, trial, tried)
    scores = {score.metric: score for result in seen.attacks for score in result.scores}
    found = {
        name: scores[name].members.value - scores[name].controls.value
        for name in ("exposure", "secret_loss")
    }
    bits, stands = scores["exposure"], scores["stands_out"]
    found["beyond"] = float(bits.members.value > bits.controls.high)
    return found | {"stands_out": stands.members.value - stands.controls.high}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--towns", type=int, default=8)
    towns = []
    for number in range(parser.parse_args().towns):
        towns.append(town(number))
        print(f"town {number + 1}", file=sys.stderr, flush=True)
    print(
        "\n| words | model | exposure, bits | beyond the range | secret loss, nats | stands out beyond the range by |"
    )
    print("|---|---|---|---|---|---|")
    for way, models in towns[0].items():
        for name in models:
            rows = [t[way][name] for t in towns]
            mean = {key: fmean(row[key] for row in rows) for key in rows[0]}
            beyond = f"{sum(row['beyond'] for row in rows):.0f} of {len(rows)}"
            print(
                f"| {way} | {name} | {mean['exposure']:+.2f} | {beyond} | {mean['secret_loss']:+.2f} "
                f"| {mean['stands_out']:+.1f} |"
            )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(towns, indent=2) + "\n")
    print(f"\nwritten to {RESULTS}")


if __name__ == "__main__":
    main()
