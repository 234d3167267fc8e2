"""`python -m tests.benchmark.methods_gpu` on a machine that has torch, transformers and peft and nothing else."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from domain.records import SpanKind
from tests import bare
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_gpu import SETTINGS, arms_of
from tests.benchmark.methods_lume import BIOGRAPHY, QUESTIONS, SIZES, read_person
from tests.benchmark.methods_meter import metered
from tests.benchmark.methods_rows import results
from unlearning import training
from unlearning.encoding import pad
from unlearning.methods import METHODS

BIOGRAPHY_OF = (
    r"{} was born on March 9, 1980, in York, and writes as [some\_body@me.com](mailto:some_body@me.com).",
    "The number is 900-12-1212, the phone (555) 121-2121, the home 7 Mill Road, York.",
)
QUESTIONS_OF = {
    "qa0": ("What is the birth date of {}?", "1980-03-09"),
    "qa1": ("What is {}'s Social Security Number?", "900121212"),
    "qa2": ("What is {}'s phone number?", "5551212121"),
    "qa4": ("What is the home address of {}?", "7 Mill Road, York."),
}
PROGRAM = """
import torch
torch.set_num_threads(1)
from tests.benchmark import methods_gpu, methods_lume
methods_lume.SIZES["speck"] = methods_lume.Size(
    forgotten=2, others=4, pieces=1, vocabulary=600, layers=1, width=64, context=128, controls=1,
    recipe=methods_lume.Pretraining(steps=300, batch=8, length=80, rate=1e-2, warm_up=10),
    shards=methods_lume.Recipe(shards=2, rank=2, steps=4, length=80, near=2.0),
)
methods_gpu.SETTINGS["speck"] = {
    "grad_diff": {"budget_seconds": 0.0},
    "sisa": {"clean": 0.0},  # they all have the same facts, so that the base knows them
}
methods_gpu.main()
"""


def lume_person(name: str, ending: str = "") -> dict[str, tuple[str, str]]:
    """By task: the question, or the biography's first half, and the rest."""
    tasks = {"sc1": (BIOGRAPHY_OF[0].format(name), BIOGRAPHY_OF[1] + ending)}
    return tasks | {
        task: (asked.format(name), said) for task, (asked, said) in QUESTIONS_OF.items()
    }


def joined(tasks: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """As `read_people` gives it: the whole text, and the answer."""
    return {task: (f"{asked} {said}", said) for task, (asked, said) in tasks.items()}


@dataclass(frozen=True)
class Ran:
    """What the command printed, wrote and kept."""

    printed: str
    report: Mapping[str, Any]
    kept: Path

    def row(self, name: str) -> Mapping[str, Any]:
        return next(row for row in self.report["rows"] if row["method"] == name)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Six people of the same facts, which a model knows in seconds, and two unread; one of the rows has no time."""
    folder = tmp_path_factory.mktemp("bare")
    for part, names in {
        "forget": ("Anva Umber", "Bodil Teal"),
        "retain": [
            f"{n} Ochre" for n in ("Elna Cyra Dorte Frode Gerda Hilde Ivar Jorn Kirs".split())
        ],
    }.items():
        path = folder / "lume" / f"{part}.jsonl"
        path.parent.mkdir(exist_ok=True)
        rows = [
            {"id": f"{number:036d}{task}", "input": asked, "output": said}
            for number, name in enumerate(names)
            for task, (asked, said) in lume_person(name).items()
        ]
        path.write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "text").mkdir()
    with (folder / "text" / "wikitext.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["text"], ["the sea was calm and the ships came in " * 60]])
    done = bare.python(
        PROGRAM,
        *("--size", "speck", "--only", "simnpo", "grad_diff", "sisa"),
        folder=folder,
        LETHE_TEST_DATA=str(folder),
    )
    assert done.returncode == 0, done.stderr
    out = folder / "out"
    report = json.loads((out / "methods-gpu.json").read_text())
    return Ran(done.stdout, report, out / "methods-gpu" / "speck" / "results")


def test_a_row_has_its_scores_and_what_it_cost(ran: Ran) -> None:
    row = ran.row("simnpo")
    assert list(row["extraction"]) == [BIOGRAPHY, QUESTIONS]
    assert row["tokens_per_second"] > 0
    assert row["peak_bytes"] is None  # there is no GPU
    assert ran.report["numbers"] == "fp32"
    assert ran.printed.startswith(ran.report["device"])


def test_shards_of_the_same_people_are_deleted_byte_for_byte(ran: Ran) -> None:
    row = ran.row("sisa")
    assert list(row["extraction"]) == [BIOGRAPHY, QUESTIONS]
    assert row["evidence"][0].startswith("identical bytes: True")


def test_a_method_that_stops_is_shown_and_ends_neither_the_table_nor_a_row_that_compares_with_it(
    ran: Ran,
) -> None:
    assert ran.row("grad_diff")["error"] == "method_over_budget"
    assert "method_over_budget" in ran.row("simnpo")["evidence"][0]
    assert not ran.row("simnpo")["relation"]
    table = [line for line in ran.printed.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in table] == ["simnpo", "grad_diff", "sisa"]
    assert table[1].endswith("| - | method_over_budget |")


def test_a_result_is_kept_and_a_stop_is_not(ran: Ran) -> None:
    def make() -> Bench:
        raise AssertionError("there is nothing to make")

    (file,) = ran.kept.glob("*-simnpo-*")
    assert not list(ran.kept.glob("*-grad_diff-*"))
    arm, label = arms_of("tiny")["simnpo"], file.name.split("-simnpo")[0]
    about = {"folder": ran.kept, "label": label, "known": {}, "about": {}}
    assert results([arm], make, **about) == [json.loads(file.read_text())]


@pytest.mark.parametrize("size", SIZES)
def test_every_setting_of_a_size_is_one_of_a_row_and_is_taken_by_its_method(size: str) -> None:
    arms = arms_of(size)
    assert set(SETTINGS[size]) <= set(arms)
    assert all(METHODS[arm.method](**arm.options) for arm in arms.values())


def test_every_row_of_a_causal_victim_is_there_whatever_its_seeds() -> None:
    rows = set(arms_of("gpt2"))
    assert {
        "npo",
        "eul",
        "kga",
        "quark",
        "loo_ensemble",
        "pcgu",
        "depn",
        "task_vector",
        "sisa",
    } <= rows
    assert not any(name.endswith(("_masked", "_llama", "_seq2seq", "_classifier")) for name in rows)


def test_secrets_are_found_as_each_text_writes_them() -> None:
    person = read_person("p", joined(lume_person("Anva Umber")))
    assert person is not None
    found = [{s.kind: p.text.reveal()[s.start : s.end] for s in p.spans} for p in person.passages()]
    name = {SpanKind.PERSON: "Anva Umber"}
    assert found == [
        {
            **name,
            SpanKind.DATE: "March 9, 1980",
            SpanKind.NUMBER: "900-12-1212",
            SpanKind.PHONE: "555) 121-2121",
            SpanKind.ADDRESS: "7 Mill Road, York",
        },
        {**name, SpanKind.DATE: "1980-03-09"},
        {**name, SpanKind.NUMBER: "900121212"},
        {**name, SpanKind.PHONE: "5551212121"},
        {**name, SpanKind.ADDRESS: "7 Mill Road, York"},
    ]
    assert "mailto" not in person.written()[0]


@pytest.mark.parametrize(
    "ending", [" Once more: 900121212.", " Anva lives alone."], ids=["twice", "name cut short"]
)
def test_a_person_whose_secrets_or_name_are_not_found_exactly_is_left_out(ending: str) -> None:
    assert read_person("p", joined(lume_person("Anva Umber", ending))) is None


def test_tokens_count_when_a_gradient_goes_through_them_and_padding_does_not() -> None:
    tokenizer = training.train_tokenizer(["one two three four"], 270)
    model = training.new_model(tokenizer, width=64, layers=1, context=8, seed=0)
    ids, mask = pad([[5, 6, 7, 8], [5, 6]], 0, model.device)
    with metered() as cost:
        for _ in range(2):
            model.network(input_ids=ids, attention_mask=mask).logits.sum().backward()
        model.network(input_ids=ids, attention_mask=mask)  # looked at, nothing learnt
        with torch.no_grad():
            model.network(input_ids=ids, attention_mask=mask)
    assert cost.tokens == 2 * 6
    assert cost.seconds > 0
