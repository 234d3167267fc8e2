"""Our scores beside other projects' own numbers for the same model and texts, and beside slow transcriptions.

The golden numbers come from their code, run by `tests/benchmark/judges.py`; each says from which repository, commit and
function, and by which convention. Bounds: 1e-5 relative for each number, 1e-9 for an AUC, and counts exactly.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unlearning import judged
from unlearning.attacks.exposure import exposure
from unlearning.attacks.gradnorm import GradNorm
from unlearning.attacks.membership import Membership
from unlearning.attacks.memorisation import accuracy, likelihoods
from unlearning.attacks.recall import ReCaLL
from unlearning.attacks.reference import Reference, losses
from unlearning.attacks.strength import Strength
from unlearning.encoding import Encoded
from unlearning.generation import continuations
from unlearning.models import LanguageModel
from unlearning.scoring import Target, TokenScores
from unlearning.statistics import auc

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "judges.json").read_text(encoding="utf-8")
)
JUDGED: dict[str, dict[str, Any]] = GOLDEN["scores"]
Values = tuple[list[float], list[float]]


@pytest.fixture(scope="module")
def target() -> Target:
    return Target(judged.target(), references=judged.references())


@pytest.fixture(scope="module")
def groups() -> tuple[list[Encoded], list[Encoded]]:
    return judged.members(), judged.controls()


def membership(metric: str, **knobs: Any) -> Callable[..., Values]:
    return lambda t, m, c: tuple(
        [row[metric] for row in Membership(**knobs).measure(t, group)] for group in (m, c)
    )


def strength(metric: str) -> Callable[..., Values]:
    attack = Strength(floor=True, drop_last=True)
    return lambda t, m, c: tuple([r[metric] for r in attack.measure(t, g)] for g in (m, c))


def reference(metric: str, first: bool = False, **knobs: Any) -> Callable[..., Values]:
    def found(t: Target, m: Sequence[Encoded], c: Sequence[Encoded]) -> Values:
        attack, mine = Reference(**knobs), len(m)
        scores = attack.measure(Target(t.model, references=t.references[:1]) if first else t, m, c)
        values = [row[metric] for row in scores]
        return values[:mine], values[mine:]

    return found


def gradnorm(**knobs: Any) -> Callable[..., Values]:
    def found(t: Target, m: Sequence[Encoded], c: Sequence[Encoded]) -> Values:
        weights = list(t.model.network.parameters())
        one, two = ([GradNorm(**knobs).norm(t.model, row, weights) for row in g] for g in (m, c))
        return one, two

    return found


def negative(scores: Callable[..., Values]) -> Callable[..., Values]:
    return lambda t, m, c: tuple([-value for value in group] for group in scores(t, m, c))


def recall(t: Target, m: Sequence[Encoded], c: Sequence[Encoded]) -> Values:
    prefix = judged.background()[:1]
    one, two = ([r["recall"] for r in ReCaLL().measure(t, g, prefix)] for g in (m, c))
    return one, two


OURS: dict[str, Callable[..., Values]] = {
    "loss": membership("loss"),
    "zlib": membership("zlib"),
    "zlib_muse": membership("zlib"),
    "lowercase": membership("lowercase"),
    "mink": membership("mink"),
    "minkpp": membership("minkpp"),
    "mink_drop_last": membership("mink", drop_last=True),
    "minkpp_drop_last": membership("minkpp", drop_last=True),
    "difference": reference("difference", first=True),
    "gradnorm": gradnorm(by_tensor=True, drop_last=True),
    "gradnorm_mimir": negative(gradnorm(by_tensor=True)),
    "extraction_strength_floor": strength("extraction_strength"),
    "exact_memorisation_drop_last": strength("exact_memorisation"),
    "recall": recall,
    "lira_shared": reference("lira", density=True),
    "lira_alone": reference("lira", density=True, alone_from=0),
}


BOUND = {"lira_shared": 1e-4, "lira_alone": 1e-4}
"""LiRA divides a difference of logits by a deviation over three models: the order of fp32 sums, which the number of
threads changes, shows ten times as much in it."""


@pytest.mark.parametrize("name", OURS)
def test_each_score_and_its_auc_equal_the_judges(
    name: str, target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    golden, (ours, theirs) = JUDGED[name], OURS[name](target, *groups)
    for mine, judge in zip(
        (*ours, *theirs), (*golden["members"], *golden["controls"]), strict=True
    ):
        assert mine == pytest.approx(judge, rel=BOUND.get(name, 1e-5), abs=0)
    if "auc" in golden:
        assert auc(ours, theirs).value == pytest.approx(golden["auc"], abs=1e-9)


def test_every_number_of_the_judges_is_looked_at_and_has_an_origin() -> None:
    elsewhere = {"signal", "rmia_0.0", "rmia_0.3", "rmia_1.0", "exposure", "el", "ma"}
    assert JUDGED.keys() == OURS.keys() | elsewhere
    for score in JUDGED.values():
        origin = GOLDEN["origin"][score["judge"]]
        assert len(origin["commit"]) == 40
        assert score["function"]
        assert score["convention"]


def test_the_judged_scores_differ_from_passage_to_passage() -> None:
    """Else agreement would say nothing: strengths above and at the floor, AUCs that are not all 1."""
    found = JUDGED["extraction_strength_floor"]
    assert len(set(found["members"] + found["controls"])) > 5
    assert max(found["members"]) > 0.15
    assert len({score["auc"] for score in JUDGED.values() if "auc" in score}) > 3


def test_the_signals_of_rmia_equal_the_judges(
    target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    for rows, name in zip(groups, ("members", "controls"), strict=True):
        models = [target, *(Target(one) for one in target.references)]
        ours = zip(*(losses(one, rows) for one in models), strict=True)
        for mine, judge in zip(ours, JUDGED["signal"][name], strict=True):
            assert [math.exp(-loss) for loss in mine] == pytest.approx(judge, rel=1e-5, abs=0)


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
def test_rmia_equals_the_judge_exactly(
    a: float, target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    ours, theirs = negative(reference("rmia", a=a))(target, *groups)
    assert ours == JUDGED[f"rmia_{a}"]["members"]
    assert theirs == JUDGED[f"rmia_{a}"]["controls"]


@pytest.mark.parametrize(("a", "gamma"), [(0.3, 1.0), (0.33, 2.0), (1.0, 1.2)])
def test_rmia_equals_a_slow_transcription(
    a: float, gamma: float, target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    """For every x and z: P(x | target) / P(x) over P(z | target) / P(z), P(x) from models that saw neither."""

    def p(model: LanguageModel, row: Encoded) -> float:
        return math.exp(float(plain(model, row.ids).mean()))

    def likelihood_ratio(row: Encoded) -> float:
        out = sum(p(model, row) for model in target.references) / len(target.references)
        return p(target.model, row) / (0.5 * ((1 + a) * out + (1 - a)))

    members, controls = groups
    expected = []
    for x in (*members, *controls):
        population = [z for z in controls if z.person != x.person]
        beaten = [z for z in population if likelihood_ratio(x) / likelihood_ratio(z) > gamma]
        expected.append(len(beaten) / len(population))
    ours, theirs = negative(reference("rmia", a=a, gamma=gamma))(target, *groups)
    assert [*ours, *theirs] == expected


def test_exposure_equals_the_judge_once_both_count_the_same(
    target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    """The judge's R leaves the truth out; ours has it among them. The rank, a whole number, is the same."""
    for rows, name in zip(groups, ("members", "controls"), strict=True):
        for row, judge in zip(rows, JUDGED["exposure"][name], strict=True):
            (span,) = row.spans
            others = len(span.candidates)
            bits = exposure(target, row, span).bits
            assert bits == pytest.approx(judge + math.log2((others + 1) / others), abs=1e-12)
            assert round((others + 1) / 2**bits) == round(others / 2**judge)


def test_the_candidates_of_an_exposure_are_distinct_and_not_the_truth() -> None:
    for row in (*judged.members(), *judged.controls()):
        (span,) = row.spans
        values = {row.ids[span.start : span.end], *span.candidates}
        assert len(values) == 41
        assert len({len(value) for value in values}) == 1


@pytest.mark.parametrize("n", [2, 3])
def test_extraction_likelihood_equals_the_judge_where_no_prefix_is_capped(
    n: int, target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    """The authors' code does not cap a prefix whose hits repeat at 1; there we are lower, and only there."""
    alike = 0
    for rows, name in zip(groups, ("members", "controls"), strict=True):
        for row, judge in zip(rows, JUDGED["el"][name], strict=True):
            prefixes = list(range(2, len(row) - n + 1))
            (grown,) = continuations(target.model, [row.ids], [prefixes])
            shares = [hits(row.ids[i:], said, n) for i, said in zip(prefixes, grown, strict=True)]
            ((value, _),) = likelihoods(target.model, [row], n, 3)
            expected = judge[f"el_{n}-gram"]
            assert value is not None
            assert sum(shares) / len(shares) == pytest.approx(expected, abs=1e-6)
            if max(shares) <= 1:
                alike += 1
                assert value == pytest.approx(expected, abs=1e-6)
            else:
                assert value < expected
    assert alike >= 8


def test_extraction_likelihood_equals_one_plain_generation_per_prefix(
    target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    """EL_n(x) = sum over i = 1..T-n of min(1, share of the n-grams of x_{i+1..T} said after x_{1..i}) / (T - n)."""
    for row in (groups[0][0], groups[0][2], groups[1][0]):
        text = row.ids[1:]
        said = {i: generated(target.model, row, i) for i in range(1, len(text) - 1)}
        for n in (2, 3, 10):
            shares = [min(1.0, hits(text[i:], said[i], n)) for i in range(1, len(text) - n + 1)]
            ((value, _),) = likelihoods(target.model, [row], n, 3)
            assert value == pytest.approx(sum(shares) / (len(text) - n), abs=1e-6)
            assert value > 0 or n == 10


def test_memorisation_accuracy_equals_a_slow_transcription(
    target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    """MA(x) = share of tokens that come first after all tokens before them, each asked for in a pass of its own."""
    for row in (*groups[0], *groups[1]):
        (scores,) = target.scores([row])
        right = [
            int(step(target.model, row.ids[:t]).argmax()) == row.ids[t] for t in range(1, len(row))
        ]
        assert accuracy(row, scores)["ma"] == pytest.approx(sum(right) / len(right), abs=1e-6)


def test_memorisation_accuracy_equals_the_judge_from_the_second_token_on(
    target: Target, groups: tuple[list[Encoded], list[Encoded]]
) -> None:
    for rows, name in zip(groups, ("members", "controls"), strict=True):
        found: list[TokenScores] = target.scores(rows)
        ours = [float(scores.hit[2:].double().mean()) for scores in found]
        assert ours == pytest.approx(JUDGED["ma"][name], abs=1e-6)


@torch.no_grad()
def plain(model: LanguageModel, ids: Sequence[int]) -> torch.Tensor:
    """(T - 1) log-probabilities of one text, alone."""
    log_p = model.network(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return log_p.gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1)


@torch.no_grad()
def step(model: LanguageModel, ids: Sequence[int]) -> torch.Tensor:
    """(V) logits after one text, without a cache."""
    logits: torch.Tensor = model.network(input_ids=torch.tensor([ids]), use_cache=False).logits
    return logits[0, -1]


def generated(model: LanguageModel, row: Encoded, shown: int) -> list[int]:
    """What the library's greedy generation says after the first `shown` tokens of the text."""
    prompt = torch.tensor([row.ids[: shown + 1]])
    said = model.network.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_length=len(row),
        do_sample=False,
        pad_token_id=model.tokenizer.pad_token_id,
    )
    grown: list[int] = said[0, shown + 1 :].tolist()
    return grown


def hits(rest: Sequence[int], said: Sequence[int], n: int) -> float:
    """How many n-grams of `said` stand in `rest`, over the n-grams of `rest`."""
    true = [tuple(rest[k : k + n]) for k in range(len(rest) - n + 1)]
    return sum(tuple(said[k : k + n]) in true for k in range(len(said) - n + 1)) / len(true)
