"""Input that proves nothing: one clear sentence, or INCONCLUSIVE with its reason; never a number."""

import copy
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from domain.errors import Code, RequestRejected
from domain.outcomes import Outcome
from domain.records import Passage, SpanKind
from tests import tiny
from tests.unlearning.conftest import Town, tiny_model
from tests.unlearning.sample import marked, passage, row
from tests.unlearning.stub import END, VOCABULARY, of_table
from tests.unlearning.test_command_line import written
from tests.unlearning.test_verdict import FORGOTTEN, KNOWN
from unlearning import models
from unlearning.__main__ import main
from unlearning.attacking import require_apart, require_readable
from unlearning.attacks.discoverable import Discoverable
from unlearning.attacks.extraction import Extraction
from unlearning.attacks.strength import Strength
from unlearning.encoding import encode
from unlearning.models import LanguageModel
from unlearning.scoring import TOP_K, Piece, Target, _numbers, _own, _piece
from unlearning.verdict import REFERENCE_BOUNDS, judge


@pytest.fixture
def strangers(town: Town) -> list[Passage]:
    return [p for n, x in enumerate(town.place.unknown[:3]) for p in tiny.passages(x, f"u{n}")]


def refused(
    folder: Path,
    place: Path,
    members: list[Passage],
    controls: list[Passage],
    capsys: pytest.CaptureFixture[str],
) -> dict[str, str]:
    """What the command answers; it must not be a number."""
    examples = written(place / "person.jsonl", members)
    control = written(place / "control.jsonl", controls)
    call = ["attack", folder, "--examples", examples, "--control", control, "--device", "cpu"]
    results = place / "results.json"
    assert main([*map(str, call), "--results", str(results), "--json"]) == 2
    assert not results.exists()
    answer: dict[str, str] = json.loads(capsys.readouterr().out)
    assert answer.keys() == {"error", "sentence"}
    return answer


def bare(passages: list[Passage]) -> list[Passage]:
    return [replace(p, spans=(), person="") for p in passages]


@pytest.mark.parametrize(
    ("case", "code", "says"),
    [
        ("no_controls", Code.EXAMPLES_INVALID, "control.jsonl: it holds no examples"),
        ("controls_without_secrets", Code.NO_CONTROLS, "the control group: it is empty"),
        ("person_without_secrets", Code.NO_SPANS, "no secret"),
        ("overlap", Code.NO_CONTROLS, "the control group, control.jsonl#10: it overlaps"),
        ("overlap_in_other_words", Code.NO_CONTROLS, "control.jsonl#10: it overlaps"),
        ("overlap_without_spans", Code.NO_CONTROLS, "control.jsonl#10: it overlaps"),
    ],
)
def test_groups_that_prove_nothing_are_refused_by_the_command(  # noqa: PLR0917  fixtures
    case: str,
    code: Code,
    says: str,
    small: LanguageModel,
    town: Town,
    strangers: list[Passage],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    phone = town.place.known[0].phone
    members, controls = {
        "no_controls": (town.members, []),
        "controls_without_secrets": (town.members, bare(strangers)),
        "person_without_secrets": (bare(town.members), strangers),
        "overlap": (town.members, [*strangers, town.members[2]]),
        "overlap_without_spans": (town.members, [*strangers, *bare(town.members[2:3])]),
        "overlap_in_other_words": (
            town.members,
            [*strangers, marked(f"Ring {phone}!", (phone, SpanKind.PHONE), person="u9")],
        ),
    }[case]
    models.save(small, tmp_path / "model")
    answer = refused(tmp_path / "model", tmp_path, members, controls, capsys)
    assert answer["error"] == code.value
    assert says in answer["sentence"]
    assert phone not in answer["sentence"]


def test_the_person_in_other_words_is_no_control_and_a_namesake_is_one() -> None:
    name, address = ("Maren Tolvik", SpanKind.PERSON), ("12 Mill Lane, Oslo", SpanKind.ADDRESS)
    ours = marked(f"{name[0]} lives at {address[0]}.", name, address)
    require_apart([ours], [marked(f"{name[0]} lives at 7 Elm Court, Rome.", name, person="u1")])
    require_apart([ours], [marked(f"Anna Berg lives at {address[0]}.", address, person="u1")])
    again = marked(f"Parcels for {name[0]} go to {address[0]} please.", name, address, person="u1")
    with pytest.raises(RequestRejected, match="no_controls"):
        require_apart([ours], [again])


def test_a_date_that_two_people_share_is_no_overlap() -> None:
    ours, theirs = (marked(f"{n}, born 1 May 1970", ("1 May 1970", SpanKind.DATE)) for n in "ab")
    require_apart([ours], [theirs])


def test_fewer_trials_than_the_policy_asks_for_are_inconclusive(
    small: LanguageModel, town: Town, strangers: list[Passage]
) -> None:
    (asked,) = encode(small, town.members[1:2])
    one = replace(asked, spans=asked.spans[:1])
    few = Extraction((0,)).run(Target(small), [one], encode(small, strangers))
    assert few.score("extraction").members.hits == 0  # nothing is left, as far as one secret tells
    rest = [a for a in FORGOTTEN.attacks if a.attack != "extraction"]
    after = replace(FORGOTTEN, attacks=(few, *rest))
    found = judge(KNOWN, after, REFERENCE_BOUNDS, required=["extraction"])
    (gate,) = [c for c in found.checks if c.name == "enough_trials"]
    assert (gate.outcome, gate.reason, gate.measured) == (Outcome.INCONCLUSIVE, "too_few", 1)
    assert found.outcome is Outcome.INCONCLUSIVE


def test_a_secret_asked_for_with_two_prefixes_is_one_secret_to_the_gate(
    small: LanguageModel,
) -> None:
    def asked(*values: str, person: str) -> list[Passage]:
        lead = "it went on and on " * 8  # more than the 50 tokens of the second prefix
        return [marked(f"{lead}{v}", (v, SpanKind.PHONE), person=person) for v in values]

    ours = encode(small, asked("212-555-0137", "917-555-0199", person="p0"))
    theirs = encode(small, asked("312-555-0188", person="u"))
    few = Extraction().run(Target(small), ours, theirs)
    assert few.score("extraction").members.trials == 4
    rest = [a for a in FORGOTTEN.attacks if a.attack != "extraction"]
    after = replace(FORGOTTEN, attacks=(few, *rest))
    found = judge(KNOWN, after, REFERENCE_BOUNDS, required=["extraction"])
    (gate,) = [c for c in found.checks if c.name == "enough_trials"]
    assert (gate.outcome, gate.measured, gate.bound) == (Outcome.INCONCLUSIVE, 2, 3)


@pytest.mark.parametrize("prefixes", [(), (-3,)])
def test_prefixes_that_ask_for_nothing_are_refused(prefixes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="prefixes"):
        Extraction(prefixes)


def test_a_text_longer_than_the_context_is_cut_and_each_secret_asked_for_once(
    small: LanguageModel,
) -> None:
    text = f"{'so it went on and on ' * 60} call 212-555-0137 {'and further still ' * 60}"
    rows = encode(small, [marked(text, ("212-555-0137", SpanKind.PHONE))])
    assert len(rows) > 2
    assert all(len(window) <= small.context for window in rows)
    assert Extraction((0,)).rate(Target(small), rows).trials == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_single_logit_that_is_no_number_is_refused(value: float) -> None:
    table = torch.zeros(VOCABULARY, VOCABULARY)
    table[3, 7] = value  # not the token asked for
    rows, others = [row([END, 3, 4, 5], (2, 3))], [row([END, 3, 5, 6], (2, 3), person="u")]
    target = Target(of_table(table))
    for attack in (Extraction(), Strength(), Discoverable()):
        with pytest.raises(RequestRejected) as error:
            attack.run(target, rows, others)
        assert error.value.code is Code.MODEL_NOT_FINITE


@pytest.mark.parametrize("piece", [_piece, _own])
def test_logits_further_apart_than_fp32_reaches_are_refused(piece: Piece) -> None:
    with pytest.raises(RequestRejected) as error:
        _numbers(torch.tensor([[3e38, -3e38, 0.0]]), torch.tensor([1]), piece)
    assert error.value.code is Code.MODEL_NOT_FINITE


@pytest.mark.parametrize("gap", [200.0, 1e6, 1e30])
def test_a_token_whose_probability_is_zero_has_finite_scores(gap: float) -> None:
    """p underflows; log p does not: it is minus the gap."""
    logits = torch.zeros(2, 64)
    logits[:, 5] = gap
    own, hit, mean, deviation, sampled = _numbers(logits, torch.tensor([9, 5]), _piece)
    assert own.tolist() == pytest.approx([-gap, 0.0])
    assert hit.tolist() == [False, True]
    assert mean.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert deviation.tolist() == pytest.approx([1e-3, 1e-3])
    assert sampled[1] == pytest.approx(0.0)


@pytest.mark.parametrize("vocabulary", [7, 40, 1280, 1281, 1312, 1343, 3000])
def test_the_five_numbers_equal_their_definitions_in_double_precision(vocabulary: int) -> None:
    order = torch.Generator().manual_seed(vocabulary)
    logits = 4 * torch.randn(3, 11, vocabulary + 2, generator=order)[..., :vocabulary]
    logits[0, 0, :] = 1.0  # all alike
    labels = torch.randint(vocabulary, (3, 11), generator=order)
    labels[1] = logits[1].argmax(-1)
    exact = logits.double().log_softmax(-1)
    own = exact.gather(-1, labels[..., None]).squeeze(-1)
    mean = (exact.exp() * exact).sum(-1)
    variance = (exact.exp() * (exact - mean[..., None]) ** 2).sum(-1)
    top = exact.topk(min(TOP_K, vocabulary)).values
    inside = own >= top[..., -1]
    found = _numbers(logits, labels, _piece)
    assert torch.equal(_numbers(logits, labels, _own)[0], found[0])
    close = {"atol": 2e-6, "rtol": 1e-6, "check_dtype": False}
    torch.testing.assert_close(found[0], own, **close)
    assert torch.equal(found[1][0, 1:], logits.argmax(-1)[0, 1:] == labels[0, 1:])
    torch.testing.assert_close(found[2], mean, **close)
    torch.testing.assert_close(found[3], variance.clamp(min=1e-6).sqrt(), **close)
    assert torch.equal(found[4].isfinite()[1:], inside[1:])
    torch.testing.assert_close(
        found[4][1:][inside[1:]], (own - top.logsumexp(-1))[1:][inside[1:]], **close
    )


def test_a_model_whose_logits_become_nan_is_refused_before_anything_is_measured(
    small: LanguageModel,
    town: Town,
    strangers: list[Passage],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = replace(small, network=copy.deepcopy(small.network))
    broken.network.transformer.ln_f.weight.data.fill_(3e38)  # finite weights, infinite logits
    models.save(broken, tmp_path / "model")
    answer = refused(tmp_path / "model", tmp_path, town.members, strangers, capsys)
    assert answer["error"] == Code.MODEL_NOT_FINITE.value


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_by_the_command(
    small: LanguageModel,
    town: Town,
    strangers: list[Passage],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    models.save(small, tmp_path / "model")
    larger = copy.deepcopy(small.tokenizer)
    larger.add_tokens(["<more>", "<most>"])
    shutil.rmtree(tmp_path / "other", ignore_errors=True)
    larger.save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "tokenizer.json", tmp_path / "model" / "tokenizer.json")
    answer = refused(tmp_path / "model", tmp_path, town.members, strangers, capsys)
    assert answer["error"] == Code.MODEL_UNSUPPORTED.value
    assert "tokenizer" in answer["sentence"]


def test_tokens_beyond_the_embeddings_are_refused(small: LanguageModel) -> None:
    beyond = small.network.get_input_embeddings().num_embeddings
    with pytest.raises(RequestRejected) as error:
        require_readable(small, [row([0, 5, beyond], (1, 3))], "--examples")
    assert error.value.code is Code.MODEL_UNSUPPORTED
    require_readable(small, [row([0, 5, beyond - 1], (1, 3))], "--examples")


def narrow(untrained: LanguageModel) -> LanguageModel:
    """A model whose tokenizer knows words of Latin letters and nothing else."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel

    words = ["<end>", "<unk>", "call", "me", "on", "one", "two", "three"]
    inner = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    model = tiny_model("gpt2", untrained)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<end>",
        eos_token="<end>",
        pad_token="<end>",
        unk_token="<unk>",
    )
    return replace(model, tokenizer=tokenizer)


def test_text_that_turns_into_unknown_tokens_only_is_refused(
    untrained: LanguageModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.save(narrow(untrained), tmp_path / "model")
    theirs = marked("call me on one two", ("one two", SpanKind.PHONE), person="u")
    ours = marked("氏名 山田太郎", ("山田太郎", SpanKind.OTHER))
    answer = refused(tmp_path / "model", tmp_path, [ours], [theirs], capsys)
    assert answer["error"] == Code.MODEL_UNSUPPORTED.value
    assert "--examples into unknown tokens" in answer["sentence"]
    assert "山田" not in answer["sentence"]


def test_an_empty_text_and_a_lone_surrogate_do_not_break_the_checks(small: LanguageModel) -> None:
    rows = encode(small, [passage(""), marked("a \ud83d 555", ("555", SpanKind.NUMBER))])
    require_readable(small, rows, "--examples")
