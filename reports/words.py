"""The report's vocabulary: what each code of the pipeline is called in plain words.

What may be said is limited (compliance.md, section 7): a report says what was run and measured,
never that nothing is left. A code without words here is shown as the code itself, so nothing is
dropped from a report.
"""

from types import MappingProxyType

GROUNDS = MappingProxyType(
    {
        "a": "the data are no longer needed for their purpose",
        "b": "consent was withdrawn and there is no other legal ground",
        "c": "the person objected to the processing",
        "d": "the data were processed unlawfully",
        "e": "a legal obligation requires the erasure",
        "f": "the data were collected from a child for an online service",
    }
)

METHODS = MappingProxyType(
    {
        "anchor_distillation": "distillation of what is said about a stranger (anchor distillation)",
        "selective_ascent": "selective gradient ascent",
        "depn": "editing of privacy neurons (DEPN)",
        "loo_ensemble": "learning from teachers that never saw the data (leave-one-out ensemble)",
    }
)

ATTACKS = MappingProxyType(
    {
        "extraction": "Extraction",
        "exposure": "Exposure",
        "memorisation": "Memorisation",
        "membership": "Membership",
    }
)

METRICS = MappingProxyType(
    {
        "extraction": (
            "Secrets given away when asked",
            "The model was given the words before a secret. A hit is the secret, word for word.",
        ),
        "exposure": (
            "How far the secrets stand out",
            "Rank of a true secret among others of its form. Chance gives about 1.4 bits.",
        ),
        "ranked_first": (
            "Secrets that are the first choice",
            "How many true secrets the model finds likelier than all others of their form.",
        ),
        "el_10": (
            "Ten-token pieces reproduced",
            "EL10: share of the text's ten-token pieces that the model continues by itself.",
        ),
        "ma": (
            "Next token right",
            "MA: how often the model's first choice is the text's very next token.",
        ),
        "s_el": (
            "Pieces of secrets reproduced",
            "S-EL: the same as EL, for short pieces that touch a secret.",
        ),
        "s_ma": (
            "Next token right, in secrets",
            "S-MA: the same as MA, for the tokens of secrets.",
        ),
        "loss": (
            "Told from unseen text, by loss",
            "AUC: how well the person's texts are told from texts never seen.",
        ),
        "zlib": (
            "Told apart, by loss and length",
            "AUC of the loss divided by the text's compressed length.",
        ),
        "mink": (
            "Told apart, by unlikely tokens",
            "AUC of Min-K %, over the least likely tokens.",
        ),
        "minkpp": (
            "Told apart, the same normalised",
            "AUC of Min-K %++, normalised at each position.",
        ),
        "secret_loss": (
            "Told apart, by loss on secrets",
            "AUC of the loss over the secrets alone.",
        ),
    }
)

PROPORTIONS = frozenset({"extraction", "ma", "s_el", "s_ma"})
"""Metrics that are a share of something, besides every `el_<n>` and every rate with hits."""

UNITS = frozenset({"bits", "nats"})
"""Units that belong behind a value. Any other unit says what one trial is: "passages"."""

CODES = MappingProxyType(
    {
        "": "ran to its end",
        "method_diverged": "stopped: the numbers ran away, so the result was thrown away",
        "method_over_budget": "stopped: it took longer than the policy allows",
        "method_inapplicable": "does not apply to this model or to this case",
        "out_of_memory": "stopped: not enough memory on the machine",
        "model_not_finite": "stopped: the model came out with broken numbers",
        "no_spans": "nothing to work on: no personal part of a text was given",
        "no_controls": "nothing to compare with: no control group could be built",
        "no_neighbours": "nothing to hold fixed: no texts of other people of the same kind",
        "target": "its target was reached",
        "steps": "its last step was reached",
        "selected": "the best step was chosen",
        "first_in_policy": "first in the policy's order",
        "next_in_policy": "next in the policy's order, after the one before fell short",
    }
)

OUTCOMES = MappingProxyType(
    {
        "PASS": "passed",
        "FAIL": "failed",
        "INCONCLUSIVE": "inconclusive",
        "NOT_RUN": "not run",
    }
)

VERDICTS = MappingProxyType(
    {
        "fulfilled": "Erased, as far as the agreed attacks can tell",
        "not_erased": "Not erased",
        "inconclusive": "Inconclusive: the effect on the model cannot be shown",
        "no_match": "Nothing found, nothing changed",
        "withdrawn": "Withdrawn before anything was done",
    }
)

KINDS = MappingProxyType(
    {
        "person": "names",
        "email": "e-mail addresses",
        "phone": "phone numbers",
        "address": "postal addresses",
        "date": "dates",
        "number": "record, account and card numbers",
        "other": "other",
    }
)


def say(table: MappingProxyType[str, str], code: str) -> str:
    """The words of a code, or the code with its underscores as spaces."""
    return table.get(code) or code.replace("_", " ")
