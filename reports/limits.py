"""What a case does not prove: the standard limit statements, their codes, and which of them a case
needs.

The codes go into the signed completion (`CaseFile.limits`), the sentences into the report. After
compliance.md, section 7, and the papers named there.
"""

from collections.abc import Sequence
from types import MappingProxyType

from domain.outcomes import CaseFile, Deletion, Estimate, Outcome, in_service

LIMITS = MappingProxyType(
    {
        "weights_prove_nothing": (
            "Nobody can read from a model's weights that a text was never in its training data: "
            "the same weights can come from data with and without it (Thudi et al., 2022). This "
            "report says which procedure ran on which files and what the named attacks measured."
        ),
        "exact_as_found": (
            "Exact means the procedure: the model in service is made of a base and of parts, and "
            "none of the parts was trained on the documents that the search found. A document that "
            "the search missed may still be in one. That the base is clean was measured, not proven."
        ),
        "teachers_hold_person": (
            "The model in service was taught by a part that never saw the person; the parts that did "
            "still hold the person, in the controller's folder of parts, until the controller destroys "
            "them or trains them again without the person."
        ),
        "named_attacks_only": (
            "Only the attacks named here were run, with their prompts and their number of trials. "
            "Another attack, another prompt or more trials may find what these did not."
        ),
        "zero_hits_bound": (
            "Zero hits is not zero risk. With no hit in n trials the true rate can still be as "
            "high as 8.9 % for n = 32, 4.6 % for 64, 2.3 % for 128, 1.0 % for 299 and 0.5 % for "
            "598 (one-sided upper bound at 95 %; the intervals in the tables are two-sided and "
            "reach a little higher)."
        ),
        "few_spans": (
            "This person has few passages in the training text. With three trials even zero hits "
            "leave a rate of up to 63 % possible, and no attack can do better than that."
        ),
        "inconclusive_is_not_pass": (
            "INCONCLUSIVE is not PASS. It means that the measurements cannot tell, most often "
            "because the model gave little away to begin with or because there were too few "
            "trials."
        ),
        "no_retrained_model": (
            "No model was retrained from the beginning without this person's data, so the model "
            "after erasure was compared with itself before and with people it never saw, not with "
            "such a model."
        ),
        "suppressed_only": (
            "A method was used that teaches the model not to say the person's data. It takes nothing "
            "out of the weights: another prompt, another way of asking or further training may bring "
            "the data back. This is suppression until an erasure follows, and no deletion."
        ),
        "same_key": (
            "The operator who searched and erased and the verifier who measured are the same party "
            "and hold the same key. A dishonest operator could invent numbers. The defence is to "
            "repeat the search and the attacks on the files whose digests are given here."
        ),
        "name_still_sayable": (
            "The person's name was taken out of the texts and made unlikely where it stood in them, "
            "by the methods that work on single tokens. Others may bear it, and it is the word by "
            "which a secret is asked for, so hardly any attack asks for the name itself. The model "
            "may still write it."
        ),
        "uncertain_spans": (
            "Some findings could not be assigned to this person or to another one. They were "
            "counted and left in place, so that nobody else's record was changed."
        ),
        "detectors_miss": (
            "The search finds what its detectors can recognise: the identifiers given in the "
            "request in their usual written forms, and patterns near them. Nicknames, descriptions "
            "and spelling mistakes can be missed."
        ),
        "recall_not_measured": (
            "How much the search finds was not measured. What it missed is still in the corpus and may be in the model."
        ),
        "recall_of_lookalikes": (
            "The share that the search finds was measured on made-up people with data of the same form, in the ways of "
            "writing and the sentences that Lethe knows how to make, without the language model that may read along. "
            "For other ways of writing it is a guess. It is not the share of this person that was found."
        ),
        "membership_weak": (
            "Membership tests on one person are weak: the groups are small and differ in more than "
            "membership. An AUC near 0.5 shows that this test cannot tell, and a value far below "
            "0.5 can itself be a trace."
        ),
        "full_precision_only": (
            "Only the weights as saved were attacked. Erased content has come back after "
            "quantisation to few bits (Zhang et al., 2025); that was not tested."
        ),
        "not_trained_further": (
            "The model was not trained further and asked again. Erased content has come back after "
            "further training, even on other texts; that was not tested."
        ),
        "copies_not_searched": (
            "Backups, caches, indexes, adapters, models derived from this one and copies at "
            "recipients were not searched. The original corpus and the model before erasure exist "
            "until the controller destroys them."
        ),
        "no_outside_time": (
            "The times in this report come from the operator's clock. No outside time stamp was "
            "used."
        ),
        "no_controls_after": (
            "There are measurements of only a part of the attempts, because the others did not get "
            "as far as the attacks."
        ),
        "not_searched": (
            "Nothing was searched and nothing was changed: the request was withdrawn before."
        ),
    }
)

_FEW_TRIALS = 20  # below this, zero hits leave more than 14 % possible (one-sided 95 %)


def limits_for(case: CaseFile) -> tuple[str, ...]:
    """The codes of the limits that the facts of a case call for, sorted; for `CaseFile.limits`."""
    if case.status == "withdrawn":
        return ("no_outside_time", "not_searched")
    codes = {"copies_not_searched", "detectors_miss", "no_outside_time", "same_key"}
    if any(corpus.uncertain for corpus in case.corpora):
        codes.add("uncertain_spans")
    measured = {corpus.recall is not None for corpus in case.corpora}
    codes |= {"recall_of_lookalikes"} if True in measured else set()
    codes |= {"recall_not_measured"} if measured != {True} else set()
    if not case.models:
        return tuple(sorted(codes))
    codes |= {
        "weights_prove_nothing",
        "named_attacks_only",
        "name_still_sayable",
    }
    untried = {
        "no_retrained_model": ("patching",),  # the one attack that needs such a model
        "full_precision_only": ("quantisation",),
        "not_trained_further": ("benign", "relearning"),
    }
    codes |= {code for code, attacks in untried.items() if not _everywhere(case, attacks)}
    rates = _rates_after(case)
    served = [in_service(model.attempts) for model in case.models]
    made = {attempt.trace.deletion for attempt in served if attempt and attempt.trace}
    passed = [m for m in case.models if m.outcome is Outcome.PASS]
    methods = {a.method for m in passed if (a := in_service(m.attempts))}
    facts = {
        "exact_as_found": Deletion.EXACT in made,
        "suppressed_only": Deletion.SUPPRESSION in made,
        "teachers_hold_person": "loo_ensemble" in methods,
        "zero_hits_bound": any(rate.hits == 0 for rate in rates),
        "few_spans": any(rate.trials < _FEW_TRIALS for rate in rates),
        "inconclusive_is_not_pass": any(m.outcome is Outcome.INCONCLUSIVE for m in case.models),
        "no_controls_after": any(a.after is None for m in case.models for a in m.attempts),
        "membership_weak": _was_run(case, "membership"),
    }
    codes |= {code for code, holds in facts.items() if holds}
    return tuple(sorted(codes))


def _rates_after(case: CaseFile) -> list[Estimate]:
    """The person's rates after the last attempt that was measured, over all models."""
    found: list[Estimate] = []
    for model in case.models:
        measured = [a.after for a in model.attempts if a.after is not None]
        for attack in measured[-1].attacks if measured else ():
            found += [s.members for s in attack.scores if s.members.hits is not None]
    return found


def _everywhere(case: CaseFile, attacks: Sequence[str]) -> bool:
    """Whether one of the attacks gave scores on every model, after the last attempt that was measured."""
    for model in case.models:
        measured = [a.after for a in model.attempts if a.after is not None]
        results = measured[-1].attacks if measured else ()
        if not any(result.attack in attacks and result.scores for result in results):
            return False
    return True


def _was_run(case: CaseFile, attack: str) -> bool:
    assessments = [m.before for m in case.models if m.before is not None]
    assessments += [a.after for m in case.models for a in m.attempts if a.after is not None]
    return any(assessment.attack(attack) for assessment in assessments)
