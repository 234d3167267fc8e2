import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from domain.errors import EvidenceInvalid
from domain.intervals import rate
from domain.outcomes import (
    Assessment,
    AttackResult,
    CaseFile,
    Deletion,
    Estimate,
    ModelErasure,
    Score,
)
from reports import report, words
from reports.figures import NOTHING
from reports.limits import LIMITS, limits_for
from reports.words import VERDICTS
from tests.reports import cases
from unlearning import attacks, verdict
from unlearning.attacks.strength import METRICS as STRENGTH

FORBIDDEN = (  # compliance.md, section 7
    "proof of deletion",
    "guaranteed forgotten",
    "is anonymous",
    "gdpr compliant",
    "no trace remains",
)
SVG = r'<svg class="chart".*?</svg>'
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """The text a reader sees, the tags, and whether every tag is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self.open):
            self.words.append(data)


RENDERED: dict[int, str] = {}  # the standard cases, rendered once: charts take time


def source_of(case: CaseFile) -> str:
    if not any(case is standard for standard in cases.ALL.values()):
        return report.render(case)
    if id(case) not in RENDERED:
        RENDERED[id(case)] = report.render(case)
    return RENDERED[id(case)]


def page(case: CaseFile) -> Page:
    return Page(source_of(case))


def with_model(model: ModelErasure) -> CaseFile:
    return cases.case(status="not_erased", models=(model,))


EVERY = pytest.mark.parametrize("case", cases.ALL.values(), ids=cases.ALL)


@EVERY
def test_the_verdict_comes_first_in_words(case: CaseFile) -> None:
    found = page(case)
    heading = next(i for i, (tag, _) in enumerate(found.tags) if tag == "h1")
    assert all(tag not in {"h2", "table"} for tag, _ in found.tags[:heading])
    assert VERDICTS[case.status] in found.text
    assert not found.open


@EVERY
def test_nothing_is_loaded_from_outside_and_nothing_runs(case: CaseFile) -> None:
    source = source_of(case)
    for tag, attributes in Page(source).tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
        assert not {name for name in attributes if name.startswith("on")}
        for name in ("src", "href", "data", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in source
    assert not re.findall(r"url\((?!#)", source)


@EVERY
def test_no_claim_is_made_that_nobody_can_make(case: CaseFile) -> None:
    assert not [claim for claim in FORBIDDEN if claim in page(case).text.casefold()]


def test_the_same_case_gives_the_same_page() -> None:
    assert report.render(cases.SEVERAL) == source_of(cases.SEVERAL)


@EVERY
def test_what_is_not_proven_is_always_said(case: CaseFile) -> None:
    text = page(case).text
    assert "What this does not prove" in text
    for code in limits_for(case):
        assert " ".join(LIMITS[code].split()) in text


def test_a_limit_without_words_is_shown_as_its_code() -> None:
    assert "brand new limit" in page(cases.case(limits=("brand_new_limit",))).text


def test_inconclusive_is_called_no_pass() -> None:
    text = page(cases.INCONCLUSIVE).text
    assert "This is not a pass" in text
    assert "INCONCLUSIVE is not PASS" in text
    assert "passed" not in text.split("What was tried")[0]


def test_zero_hits_come_with_the_bound_of_their_trials() -> None:
    text = page(cases.FULFILLED).text
    assert "0 of 64" in text
    assert "one-sided bound: 4.6 %" in text


def test_before_after_and_never_seen_stand_side_by_side() -> None:
    text = page(cases.FULFILLED).text
    row = text[text.index("A hit is the secret") :][:200]
    assert row.index("45 of 64") < row.index("0 of 64") < row.index("1 of 128")


def test_a_failed_attempt_is_told_with_its_reason_in_words() -> None:
    text = page(cases.FULFILLED).text
    assert "editing of privacy neurons (DEPN)" in text
    assert "the numbers ran away" in text
    assert "method_diverged" not in text


def test_numbers_of_a_model_that_failed_are_not_shown_as_the_model_in_service() -> None:
    text = page(cases.NOT_ERASED).text
    assert "attempt 2. Its model was not put into service" in text


def test_a_model_that_was_never_measured_is_told_so() -> None:
    model = replace(cases.model(outcome=cases.Outcome.FAIL), before=None, attempts=(cases.BROKEN,))
    text = page(with_model(model)).text
    assert "This model was not measured." in text
    assert "What it cost" not in text


def test_a_model_on_which_nothing_was_run_says_why() -> None:
    model = replace(
        cases.model(outcome=cases.Outcome.INCONCLUSIVE), attempts=(), reason="no_neighbours"
    )
    text = page(cases.case(status="inconclusive", models=(model,))).text
    assert "No method was run on this model: nothing to hold fixed" in text
    assert "No attempt got as far as a measurement." in text


def test_an_attempt_that_broke_after_none_leaves_its_column_empty() -> None:
    model = replace(cases.model(outcome=cases.Outcome.FAIL), attempts=(cases.BROKEN,))
    text = page(with_model(model)).text
    assert "45 of 64" in text
    assert NOTHING in text


def test_a_metric_nobody_has_words_for_has_its_row_and_chart() -> None:
    def more(assessment: Assessment, value: float) -> Assessment:
        score = Score("dream_score", "furlongs", cases.near(value, 1, 9), cases.near(2, 1, 9))
        return replace(assessment, attacks=(*assessment.attacks, AttackResult("dream", (score,))))

    last = cases.attempt(2, "depn", 19, cases.Outcome.FAIL)
    assert last.after is not None
    last = replace(last, after=more(last.after, 3.25))
    model = replace(
        cases.model(outcome=cases.Outcome.FAIL), before=more(cases.BEFORE, 8.5), attempts=(last,)
    )
    text = page(with_model(model)).text
    assert text.count("dream score") >= 2
    assert "8.50" in text
    assert "9 furlongs" in text


def test_an_attack_that_ran_only_once_is_shown_with_a_gap() -> None:
    after = replace(cases.assessment(19), attacks=cases.BEFORE.attacks[:1])
    last = replace(cases.attempt(2, "depn", 19, cases.Outcome.FAIL), after=after)
    model = replace(cases.model(outcome=cases.Outcome.FAIL), attempts=(last,))
    assert "Exposure" in page(with_model(model)).text


def test_broken_numbers_are_called_so_and_do_not_break_the_page() -> None:
    nothing = Estimate(float("nan"), float("nan"), float("inf"), 3)
    after = replace(
        cases.assessment(19),
        utility=cases.Utility(nothing, rate(0, 3)),
        attacks=(AttackResult("exposure", (Score("exposure", "bits", nothing, nothing),)),),
    )
    last = replace(cases.attempt(2, "depn", 19, cases.Outcome.FAIL), after=after)
    model = replace(cases.model(outcome=cases.Outcome.FAIL), attempts=(last,))
    assert "not a number" in page(with_model(model)).text


def test_what_erasing_cost_is_shown_in_percent_and_points() -> None:
    text = page(cases.FULFILLED).text
    cost = text[text.index("What it cost") :]
    assert "\u22123.1 %" in cost
    assert "0.0 points" in cost


def test_every_model_and_corpus_has_its_place() -> None:
    found = page(cases.SEVERAL)
    assert "Model clinic-assistant: passed" in found.text
    assert "Model search-ranker: failed" in found.text
    assert {"tickets", "wiki"} <= set(found.text.split())
    assert sum(attributes.get("class") == "chart" for _, attributes in found.tags) == 6


def test_a_case_without_models_draws_nothing() -> None:
    assert "svg" not in [tag for tag, _ in page(cases.NO_MATCH).tags]


def test_a_late_end_is_called_late() -> None:
    assert "no, late" in page(cases.case(finished_at="2026-12-02T08:00:00Z")).text


def test_every_digest_of_the_case_is_printed() -> None:
    text = page(cases.FULFILLED).text
    for digest in (1, 3, 7, 11, 12, 70, 71, 90, 91):
        assert cases.sha(digest) in text


def test_markup_in_a_name_stays_text() -> None:
    model = replace(cases.model(), name='<img src=x onerror="alert(1)">')
    source = report.render(cases.case(models=(model,)))
    assert "<img" not in source
    assert "&lt;img" in source


def test_a_case_that_contradicts_its_verdicts_is_not_rendered() -> None:
    with pytest.raises(EvidenceInvalid):
        report.render(replace(cases.NOT_ERASED, status="fulfilled"))


def test_charts_are_well_formed_and_name_their_rows() -> None:
    source = source_of(cases.FULFILLED)
    drawn = re.findall(SVG, source, flags=re.DOTALL)
    assert len(drawn) == 3
    texts = ["".join(ET.fromstring(svg).itertext()) for svg in drawn]
    assert "Secrets given away when asked" in texts[0]
    assert "bits" in texts[1]
    assert "coin toss" in texts[2]


def test_no_two_charts_share_an_inner_id() -> None:
    source = source_of(cases.SEVERAL)
    drawn = re.findall(SVG, source, flags=re.DOTALL)
    clips = [set(re.findall(r'clipPath id="([^"]+)"', svg)) for svg in drawn]
    assert len(set.union(*clips)) == sum(len(ids) for ids in clips)


def literals(path: Path, call: str, place: int) -> Iterator[str]:
    """The strings written as that argument of a call of that name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == call:
            given = node.args[place : place + 1]
            yield from (a.value for a in given if isinstance(a, ast.Constant) and a.value)


FILES = sorted(Path(attacks.__file__).parent.glob("*.py"))


def test_every_attack_and_every_metric_that_can_be_measured_has_words() -> None:
    metrics = {m for file in FILES for m in literals(file, "Score", 0)} | set(STRENGTH)
    metrics |= {"log_probability", "first_choice", "stands_out", "rmia_tpr_at_0_1_percent"}
    metrics |= {f"exposure_{a}" for a in ("after_benign", "after_relearning", "at_3_bits")}
    assert len(metrics) > 25
    assert not {metric for metric in metrics if words.metric(metric) is None}
    named = {a for file in FILES for a in literals(file, "AttackResult", 0)} | set(attacks.ATTACKS)
    assert not named - words.ATTACKS.keys()


def test_every_gate_and_every_reason_of_a_verdict_has_words() -> None:
    path = Path(verdict.__file__)
    reasons = set(literals(path, "Check", 4)) | set(cases.REASONS.values())
    reasons |= {"memorised", "not_memorised", "within", "beyond", "too_few", "recognised"}
    reasons |= {"over_forgotten", "not_a_number", "attack_inapplicable"}
    reasons |= {"told_apart", "not_told_apart"}
    assert {"no_power", "another_model"} <= reasons
    assert not reasons - words.CODES.keys()
    assert not set(literals(path, "Check", 0)) - words.CHECKS.keys()


def test_a_check_is_called_by_its_attack_and_its_metric() -> None:
    assert words.check("membership_stands_out") == "Membership: Stands out among strangers"
    assert words.check("exposure") == words.METRICS["exposure"][0]
    assert words.check("quantisation_exposure_at_4_bits").endswith("stand out, 4 bits")
    assert words.check("suffix_transferred_extraction").endswith("when asked, carried over")
    assert words.check("reference") == words.ATTACKS["reference"]
    assert words.check("brand_new") == "brand new"


def test_no_code_is_left_on_a_page_with_every_attack() -> None:
    text = page(cases.MANY).text.split("What this does not prove")[0]
    assert not re.findall(r"[a-z0-9]+_[a-z0-9_]+", text.replace("not_erased", ""))


def test_checks_stand_worst_first_and_only_those_that_passed_are_folded() -> None:
    tried = source_of(cases.MANY).split("What was tried")[1].split("What it cost")[0]
    places = [tried.index(what) for what in (" failed</p>", " not run</p>", " inconclusive</p>")]
    folded = tried.index("<details>")
    assert sorted([*places, folded]) == [*places, folded]
    assert " checks passed</summary>" in tried[folded:]
    assert "beyond its bound" in tried[:folded]
    assert "could not see the person before, so it says nothing" in tried[:folded]
    assert "beyond its bound" not in tried[folded:]
    assert "not a number against" not in tried


def test_only_the_headline_metrics_are_drawn_and_the_rest_is_folded() -> None:
    source = source_of(cases.MANY)
    drawn = "".join(re.findall(SVG, source, flags=re.DOTALL))
    for metric in ("extraction", "exposure", "ranked_first", "stands_out", "loss", "lowercase"):
        assert drawn.count(f">{words.METRICS[metric][0]}<") == 1
    folded = source.split("<details>")[1].split("</details>")[0]
    for metric in ("prompts", "rmia", "beam", "first_choice", "secret_strength"):
        assert words.METRICS[metric][0] not in drawn
        assert words.METRICS[metric][0] in folded
    assert source.count("Asked with the weights rounded to 4 bits.") == 3
    shown = {s.metric for a in cases.many(0.0).attacks for s in a.scores}
    text = page(cases.MANY).text
    assert not [m for m in shown if words.metric(m)[0] not in text]
    assert "· 176 prompts" in text  # of `reworded`, whose unit is bits


def test_a_reader_is_told_how_to_read_the_numbers() -> None:
    told = page(cases.FULFILLED).text.split("How to read these numbers")[1]
    told = told.split("What was removed")[0]
    for what in ("recall", "not a sample", "about 3/n", "made-up people", "inconclusive", "5 %"):
        assert what in told
    assert "How to read these numbers" not in page(cases.NO_MATCH).text


def test_an_attack_that_does_not_apply_is_named() -> None:
    after = cases.assessment(19)
    after = replace(after, attacks=(*after.attacks, AttackResult("reference", ())))
    last = replace(cases.attempt(2, "depn", 19, cases.Outcome.FAIL), after=after)
    model = replace(cases.model(outcome=cases.Outcome.FAIL), attempts=(last,))
    text = page(with_model(model)).text
    assert (
        f"Without a result, because it does not apply to this model or to this case: {words.ATTACKS['reference']}."
        in text
    )


def test_what_is_measured_beside_the_judged_costs_is_shown_with_its_change() -> None:
    cost = page(cases.MANY).text.split("What it cost")[1].split("How to read")[0]
    for label, _, _ in words.MEASURES.values():
        assert label in cost
    for change in ("+6.7 %", "\u22122.0 points", "+0.10 nats"):
        assert change in cost.replace("\u202f", " ")
    assert "infinite" not in cost


def test_what_erasing_cost_each_group_is_shown_the_worst_off_first() -> None:
    text = page(cases.MANY).text.replace("\u202f", " ")
    borne = text.split("Who bears it")[1].split("How to read")[0]
    assert borne.index("south") < borne.index("north")
    south = borne[borne.index("south") : borne.index("north")]
    assert re.search(r"Loss .*\+0\.\d\d nats \+0\.\d\d to \+0\.\d\d worse", south)
    assert re.search(r"Secrets still given 12 of 18 .*2 of 18 .*\u221255.6 points .*worse", south)
    assert "within chance" in borne[borne.index("north") :]
    assert "nobody's group was guessed" in borne
    assert "group_" not in text


def test_without_groups_in_the_policy_the_page_says_who_is_compared() -> None:
    given = {"group_loss/alike": Estimate(0.5, 0.4, 0.6, 4), "group_leak/unlike": rate(3, 9)}
    before = replace(cases.BEFORE, utility=replace(cases.BEFORE.utility, measures=given))
    text = page(with_model(replace(cases.model(outcome=cases.Outcome.FAIL), before=before))).text
    borne = text.split("Who bears it")[1]
    assert "People like this one" in borne
    assert "Everybody else" in borne
    assert "The policy names no groups" in borne
    assert "Who bears it" not in page(cases.NO_MATCH).text


def test_a_model_that_passed_by_suppression_is_not_called_erased() -> None:
    model = cases.FULFILLED.models[0]
    last = model.attempts[-1]
    assert last.trace is not None
    quiet = replace(last, method="quark", trace=replace(last.trace, deletion=Deletion.SUPPRESSION))
    case = with_model(replace(model, attempts=(*model.attempts[:-1], quiet)))
    text = page(replace(case, status="fulfilled")).text
    assert words.SUPPRESSED in text
    assert VERDICTS["fulfilled"] not in text
    assert "the policy accepts suppression" in text
    assert "suppression by reward, not deletion" in text
    assert "suppressed_only" in limits_for(case)
    assert "suppressed_only" not in limits_for(cases.FULFILLED)


def test_a_measure_that_was_taken_once_or_has_no_words_has_its_line() -> None:
    def more(assessment: Assessment, **given: Estimate) -> Assessment:
        return replace(assessment, utility=replace(assessment.utility, measures=given))

    last = cases.attempt(2, "depn", 19, cases.Outcome.FAIL)
    after = more(cases.assessment(19), dream_cost=Estimate(3.25, 3, 4, 9))
    model = replace(
        cases.model(outcome=cases.Outcome.FAIL),
        before=more(cases.BEFORE, gap_worst=Estimate(0.25, 0.25, 0.25, 4)),
        attempts=(replace(last, after=after),),
    )
    cost = page(with_model(model)).text.split("What it cost")[1]
    assert "dream cost" in cost
    assert "3.25" in cost
    assert re.search(rf"0.25 nats 4 people {NOTHING} {NOTHING}", cost)


def test_what_was_tried_on_every_model_is_not_called_untested() -> None:
    untested = {"full_precision_only", "not_trained_further", "no_retrained_model"}
    assert untested <= set(limits_for(cases.FULFILLED))
    assert not untested & set(limits_for(cases.MANY))
    half = replace(cases.MANY, models=(*cases.MANY.models, *cases.FULFILLED.models))
    assert untested <= set(limits_for(half))
    model = cases.MANY.models[0]
    last = model.attempts[-1]
    assert last.after is not None
    blind = tuple(replace(a, scores=()) for a in last.after.attacks)
    last = replace(last, after=replace(last.after, attacks=blind))
    without = replace(cases.MANY, models=(replace(model, attempts=(last,)),))
    assert untested <= set(limits_for(without))
