"""Online selection in a run: only where a method asks for it and the catalog names who can be asked."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from detectors.locate import Located
from domain.errors import Code, RequestRejected
from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from flows import build
from flows.doctor import examine
from flows.policy import MethodRule
from flows.selection import selected
from unlearning import models, training
from unlearning.models import Kind

TEXT = "Maren Tolvik shares 212-555-0137 with Jon Aske, whose own is 917-555-0188, in the town of Ostby."


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two causal models that know nothing, each something else."""
    path = tmp_path_factory.mktemp("selection")
    tokenizer = training.train_tokenizer([TEXT] * 3, 300)
    for seed, name in enumerate(("reference", "model")):
        model = training.new_model(tokenizer, width=32, layers=1, context=128, seed=seed)
        models.save(model, path / name)
    return path


@pytest.fixture
def reference(folder: Path) -> Path:
    return folder / "reference"


def at(value: str, kind: SpanKind, owner: Owner) -> SensitiveSpan:
    start = TEXT.index(value)
    return SensitiveSpan("a.jsonl#1", start, start + len(value), kind, owner, "exact", 1.0)


MINE = (
    at("Maren Tolvik", SpanKind.PERSON, Owner.SUBJECT),
    at("212-555-0137", SpanKind.PHONE, Owner.SUBJECT),
)
OTHERS = (
    at("Jon Aske", SpanKind.PERSON, Owner.OTHER),
    at("917-555-0188", SpanKind.PHONE, Owner.OTHER),
)


def bench_of(policy, references: tuple[Path, ...], spans: str) -> SimpleNamespace:
    rule = MethodRule(name="selective_ascent", options={"spans": spans})
    methods = policy.methods.model_copy(update={"order": (rule,)})
    entry = SimpleNamespace(references=references, corpora=("letters",))
    passage = Passage("a.jsonl#1", Secret(TEXT), MINE, "p0000")
    return SimpleNamespace(
        policy=policy.model_copy(update={"methods": methods}),
        stores=SimpleNamespace(catalog=SimpleNamespace(model=lambda _: entry)),
        located={"letters": Located(1, 1, MINE, 0, OTHERS, (passage,))},
    )


def test_other_peoples_spans_are_never_selected_and_the_search_says_what_a_part_is(home, reference):
    bench = bench_of(home.policy, (reference,), "online")
    [passage] = selected(bench, "m", reference.with_name("model"), Kind.CAUSAL)
    assert passage.spans
    assert passage.person == "p0000"
    for span in passage.spans:
        assert (span.owner, span.detector) == (Owner.SUBJECT, "online")
        assert not any(span.start < o.end and o.start < span.end for o in OTHERS)
        for known in MINE:
            if span.start < known.end and known.start < span.end:
                assert span.kind is known.kind


def test_nobody_is_asked_where_no_method_wants_it_or_nobody_can_be(home, reference):
    asked = bench_of(home.policy, (reference,), "offline")
    assert selected(asked, "m", reference, Kind.CAUSAL) == ()
    assert selected(bench_of(home.policy, (), "online"), "m", reference, Kind.CAUSAL) == ()
    asked = bench_of(home.policy, (reference,), "online")
    assert selected(asked, "m", reference, Kind.MASKED) == ()
    [passage] = selected(asked, "m", reference.with_name("model"), Kind.CAUSAL)
    assert passage.spans


def test_a_policy_can_name_it_as_a_detector_and_the_doctor_loads_its_models(
    home, lethe_home, reference
):
    path = lethe_home / "policy.yaml"

    def looked() -> tuple[bool, str]:
        found = next(f for f in examine() if f.check == "online selection")
        return found.ok, found.detail

    assert looked() == (True, "off in the policy")
    for folder, well in ((reference, True), (reference / "absent", False)):
        policy = yaml.safe_load(path.read_text("utf-8"))
        policy["detectors"]["online"] = {"reference": str(folder)}
        path.write_text(yaml.safe_dump(policy), "utf-8")
        assert looked()[0] is well


def test_a_policy_that_asks_for_other_spans_is_refused():
    with pytest.raises(RequestRejected) as refused:
        build.method(MethodRule(name="selective_ascent", options={"spans": "some"}))
    assert refused.value.code is Code.POLICY_INVALID
