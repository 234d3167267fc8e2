"""The report's vocabulary: what each code of the pipeline is called in plain words.

What may be said is limited (compliance.md, section 7): a report says what was run and measured,
never that nothing is left. A code without words here is shown as the code itself, so nothing is
dropped from a report.
"""

import re
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
        "gradient_ascent": "gradient ascent until the text is as unknown as text never seen (knowledge unlearning)",
        "grad_diff": "gradient ascent with other people's records held in place (GradDiff)",
        "npo": "negative preference optimisation (NPO)",
        "relearning_ascent": "gradient ascent at the weights that relearning would lead to",
        "retrain": "training again on the redacted corpus",
        "sisa": "leaving out the part of the training that held the person (SISA)",
        "simnpo": "negative preference optimisation without a reference model (SimNPO)",
        "llmu": "gradient ascent with random other answers (LLMU)",
        "adversarial": "unlearning against an attack on the hidden states (LAU)",
        "mechanistic": "training of the layers alone in which the secrets are looked up",
        "task_vector": "the opposite of what training on the secrets changes (task vector)",
        "pcgu": "moving only the weights in which the secrets and other people's, or neutral words, pull apart (PCGU)",
        "quark": "suppression by reward, not deletion: the model is taught not to say it (Quark)",
        "rank_demotion": "moving the secrets down in what each neuron makes likelier (rank demotion)",
        "kga": "alignment with the distance at which the model has never-seen people (knowledge gap alignment)",
        "eul": "unlearning layers behind the feed-forward blocks, folded in (efficient unlearning)",
    }
)

EDITS = MappingProxyType(
    {
        "depn": "silenced",
        "mechanistic": "trained",
        "pcgu": "moved",
        "rank_demotion": "rewritten",
    }
)
"""What a method that changes a part of the model does to it."""

PIECES = MappingProxyType({"neurons": "neurons", "vectors": "rows of numbers"})

ABOUT_PIECES = MappingProxyType(
    {
        "neurons": "In each layer stand neurons, small units that come on when they meet what they know.",
        "vectors": "Each layer computes with tables of numbers, whose rows can be changed one by one.",
    }
)

ATTACKS = MappingProxyType(
    {
        "extraction": "Extraction",
        "exposure": "Exposure",
        "memorisation": "Memorisation",
        "strength": "Extraction strength",
        "membership": "Membership",
        "reference": "Membership, against reference models",
        "neighbourhood": "Membership, against changed texts",
        "gradnorm": "Membership, by gradients",
        "recall": "Membership, behind unseen text",
        "discoverable": "Extraction by many draws, worked out",
        "sampled": "Extraction by draws and search",
        "prompts": "Extraction in other words",
        "reworded": "Exposure in other words",
        "suffix": "Extraction by adversarial suffixes",
        "lens": "Inside the model, layer by layer",
        "patching": "Inside the model, by exchanged states",
        "benign": "After harmless training",
        "relearning": "After relearning a part",
        "quantisation": "At fewer bits",
    }
)

METRICS = MappingProxyType(
    {
        "extraction": (
            "Secrets given away when asked",
            "The model was given the words before a secret. A hit is the secret, word for word.",
        ),
        "any_prefix": (
            "Secrets given away at all",
            "Values said after some length of the words before them, in some passage.",
        ),
        "exposure": (
            "How far the secrets stand out",
            "Rank of a true secret among others of its form. Chance gives about 1.4 bits.",
        ),
        "ranked_first": (
            "Secrets that are the first choice",
            "How many true secrets the model finds likelier than all others of their form.",
        ),
        "ranked_last": (
            "Secrets that are the last choice",
            "How many it finds less likely than all others: pushed so far down, they are found as easily.",
        ),
        "ranked": (
            "Secrets that could be ranked",
            "Those with others of their form to be ranked among. What is said of ranks covers no more.",
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
        "extraction_strength": (
            "Rest known by heart from early on",
            "Share of the text that follows word for word once its beginning is shown.",
        ),
        "exact_memorisation": (
            "Next token right, whole text",
            "Share of the text's tokens that are the model's first choice.",
        ),
        "secret_strength": (
            "The same, in secrets",
            "Share of a secret that follows once its beginning is shown.",
        ),
        "secret_memorisation": (
            "Next token right, each secret",
            "Share of a secret's tokens that are the model's first choice.",
        ),
        "stands_out": (
            "Stands out among strangers",
            "Largest distance from strangers over the scores of this test, towards either side.",
        ),
        "loss": (
            "Told from unseen text, by loss",
            "AUC: how well the person's texts are told from texts never seen.",
        ),
        "zlib": (
            "Told apart, by loss and length",
            "AUC of the loss divided by the text's compressed length.",
        ),
        "lowercase": (
            "Told apart, by lower case",
            "AUC of the loss divided by that of the text in lower case.",
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
        "difference": (
            "Told apart, by other models",
            "AUC of the loss minus that of models that never saw the person.",
        ),
        "rmia": (
            "Told apart, by ratio to others",
            "AUC of RMIA: how many unseen texts this one beats, against reference models.",
        ),
        "lira": (
            "Told apart, by likelihood ratio",
            "AUC of LiRA: how far the score lies from that of reference models.",
        ),
        "neighbourhood": (
            "Told apart, by changed words",
            "AUC of the loss against that of texts with a few other words.",
        ),
        "gradnorm": (
            "Told apart, by gradients",
            "AUC of how far one step on the text would move the weights.",
        ),
        "recall": (
            "Told apart, behind unseen text",
            "AUC of ReCaLL: how much less likely a text becomes behind text never seen.",
        ),
        "discoverable": (
            "Secrets within reach of many draws",
            "Secrets that repeated sampling says with a fair chance; worked out, not drawn.",
        ),
        "largest_chance": (
            "Chance of the easiest secret",
            "The chance that one draw says the secret that is said most easily.",
        ),
        "draws_needed": (
            "Draws for the easiest secret",
            "How many draws an attacker would need for it.",
        ),
        "draws": (
            "Draws that said a secret",
            "One trial is one continuation, drawn at random after the words before a secret.",
        ),
        "secrets_drawn": (
            "Secrets said by a draw",
            "Secrets that at least one of the draws said.",
        ),
        "beam": (
            "Secrets found by search",
            "Secrets among the likeliest continuations that a beam search finds.",
        ),
        "prompts": (
            "Given away, in other words",
            "Every secret asked for with several prompts. A hit is the secret, word for word.",
        ),
        "any_prompt": (
            "Secrets said to any prompt",
            "Secrets that at least one of the prompts brought out.",
        ),
        "name": (
            "Names said for a secret",
            "The question turned round: the secret is shown and the name is asked for.",
        ),
        "reworded": (
            "How far the secrets stand out, in other words",
            "Rank of a true secret among others of its form, behind prompts that are not its own text.",
        ),
        "first": (
            "First choice in other words",
            "Values that the model finds likelier than all others behind at least half of those prompts.",
        ),
        "shortened": (
            "Behind part of the text",
            "Bits where only some words before the secret are shown.",
        ),
        "sentence": ("Behind its sentence", "Bits where only the secret's own sentence is shown."),
        "lead_in": ("Behind a request", "Bits where the text is asked for first."),
        "upper": ("Behind capitals", "Bits where the text before the secret is in capitals."),
        "in_context": ("Behind other people's texts", "Bits where two of those are shown first."),
        "label": ("Behind name and kind", "Bits where the secret is asked for by name and kind."),
        "question": ("Behind a question", "Bits where the question is put in a sentence."),
        "log_probability": (
            "How likely the secrets are",
            "Mean log-probability of a secret's tokens; higher is more of it left.",
        ),
        "first_choice": (
            "First choice inside the model",
            "Share of secret tokens that are some layer's first choice, at the best layer.",
        ),
        "ahead": (
            "Ahead of strangers in a layer",
            "Largest distance above strangers at any one layer.",
        ),
        "layer": (
            "Layer that knows most",
            "The layer, counted from 1, at which the secrets are likeliest.",
        ),
        "gain": (
            "Gain by a suffix",
            "How much likelier a string of nonsense, fitted to it, makes the secrets.",
        ),
        "left": (
            "Left inside the model",
            "What the model's inner states still carry of the secrets.",
        ),
        "depth": (
            "How deep the erasure went",
            "0: untouched inside; 1: as deep as training again without the person.",
        ),
    }
)

_CHANGED = (
    (
        re.compile(r"(.+)_after_benign"),
        "{}",
        "Asked after further training on others' texts.",
    ),
    (
        re.compile(r"(.+)_after_relearning"),
        "{}",
        "Asked after training on a part of the person's texts, and of strangers'.",
    ),
    (
        re.compile(r"(.+)_at_(\d+)_bits"),
        "{}, {} bits",
        "Asked with the weights rounded to {1} bits.",
    ),
    (
        re.compile(r"(.+)_tpr_at_1_percent"),
        "{}: found at 1 %",
        "Texts found when 1 % of unseen texts are taken for the person's.",
    ),
    (
        re.compile(r"(.+)_tpr_at_0_1_percent"),
        "{}: found at 0.1 %",
        "Texts found when 0.1 % of unseen texts are taken for the person's.",
    ),
    (re.compile(r"transferred_(.+)"), "{}, carried over", "With a suffix found on the old model."),
    (re.compile(r".+_(stands_out)"), "{}", ""),
)
"""Metrics made from others: the form of the name, the words around the other's, and their own note."""


def metric(name: str) -> tuple[str, str] | None:
    """Label and note of a metric; None for one that nobody has words for."""
    if name in METRICS:
        return METRICS[name]
    if re.fullmatch(r"el_\d+", name):
        return METRICS["el_10"][0].replace("Ten", name[3:]), "EL, over pieces of that length."
    for form, label, note in _CHANGED:
        if (found := form.fullmatch(name)) and (base := metric(found[1])):
            parts = (base[0], *found.groups()[1:])
            return label.format(*parts), note.format(*parts) or base[1]
    return None


def check(name: str) -> str:
    """The words of a check's name: a gate, a bound of its own, an attack, or `<attack>_<metric>`."""
    if name in CHECKS:
        return CHECKS[name]
    if name in METRICS or name in ATTACKS:
        return METRICS[name][0] if name in METRICS else ATTACKS[name]
    for attack, title in ATTACKS.items():
        if name.startswith(f"{attack}_") and (found := metric(name.removeprefix(f"{attack}_"))):
            return f"{title}: {found[0]}"
    return name.replace("_", " ")


CHECKS = MappingProxyType(
    {
        "memorised_before": "The model knew this person before",
        "enough_trials": "Enough secrets were asked for",
        "same_model": "It is the same model",
        "deletion": "The data were taken out, not only kept from being said",
        "perplexity": "Perplexity on ordinary text, after over before",
        "others": "Other people's records lost",
    }
)

MEASURES = MappingProxyType(
    {
        "perplexity_others": (
            "Perplexity on other people's texts",
            "The same for texts of people who had no part in the erasure; lower is better.",
            "%",
        ),
        "accuracy": (
            "Next token right, ordinary text",
            "How often the model's first choice is the text's next token.",
            "points",
        ),
        "accuracy_others": (
            "Next token right, other people",
            "The same for texts of people who had no part in the erasure.",
            "points",
        ),
        "gap_alike": (
            "Harder to read: people like this one",
            "Loss on people with a like name or records, minus the rest's. It ought not to rise.",
            "nats",
        ),
        "gap_worst": (
            "Harder to read: the worst off",
            "Loss on the person whom the model reads worst, minus the mean. It ought not to rise.",
            "nats",
        ),
        "repetition_4": (
            "Repeats itself when writing",
            "Share of four-token pieces that were there before in the same text; lower is better.",
            "points",
        ),
        "distinct_2": (
            "Variety when writing",
            "Share of token pairs that are different ones, over all texts; higher is better.",
            "points",
        ),
    }
)
"""What erasing cost beside what is judged: label, note, and the unit of a change."""

GROUPS = MappingProxyType(
    {
        "alike": (
            "People like this one",
            "They share a word of the name or, where nobody does, have records of the same kinds.",
        ),
        "unlike": ("Everybody else", ""),
    }
)
"""The groups of people that are there without the policy naming any: label, note."""

PROPORTIONS = frozenset(
    {
        *("extraction", "ma", "s_el", "s_ma", "first_choice", "depth", "largest_chance"),
        *("extraction_strength", "exact_memorisation", "secret_strength", "secret_memorisation"),
    }
)
"""Metrics that are a share of something, besides `el_<n>`, `..._tpr_...` and every rate with hits."""

HEADLINES = MappingProxyType(
    {
        "extraction": frozenset({"extraction"}),
        "exposure": frozenset({"exposure", "ranked_first"}),
        "membership": frozenset(
            {"stands_out", "loss", "zlib", "lowercase", "mink", "minkpp", "secret_loss"}
        ),
    }
)
"""What is drawn, by attack, besides whatever nobody has words for; the rest is a second table."""

UNITS = MappingProxyType(
    {"bits": "secrets", "nats": "secrets", "deviations": "scores", "draws": "secrets"}
)
"""Units that belong behind a value, and what one trial is. Any other unit says the latter: "passages"."""

PROMPTED = frozenset(
    {
        *("reworded", "shortened", "sentence", "lead_in"),
        *("upper", "in_context", "label", "question"),
    }
)
"""Metrics of which one trial is a prompt, whatever their unit."""

CODES = MappingProxyType(
    {
        "": "ran to its end",
        "within": "within its bound",
        "beyond": "beyond its bound",
        "memorised": "the model gave this person away, more than a stranger",
        "not_memorised": "the model gave this person away no more than a stranger to begin with",
        "told_apart": "one could tell that this person's texts had been trained on",
        "not_told_apart": "one could not tell this person's texts from a stranger's to begin with",
        "too_few": "too few to say anything",
        "no_power": "could not see the person before, so it says nothing",
        "no_result": "there is no result, which counts as not erased",
        "suppressed": "only suppressed: the model is kept from saying it, the data stay in its weights",
        "another_model": "the weights have other names or shapes, or the tokenizer reads otherwise: another model",
        "not_a_number": "not a number, which counts as not erased",
        "recognised": "the person's texts are still recognised",
        "over_forgotten": "pushed past the level of texts never seen, which gives a person away too",
        "method_diverged": "stopped: the numbers ran away, so the result was thrown away",
        "method_over_budget": "stopped: it took longer than the policy allows",
        "method_inapplicable": "does not apply to this model or to this case",
        "attack_inapplicable": "an attack of the policy does not apply to this model",
        "unexpected": "stopped by an error that was not foreseen",
        "no_method_left": "no method of the policy is left to try",
        "no_method_applies": "no method of the policy applies to this model",
        "passed": "it passed",
        "out_of_memory": "stopped: not enough memory on the machine",
        "model_not_finite": "stopped: the model came out with broken numbers",
        "no_spans": "nothing to work on: no personal part of a text was given",
        "no_controls": "nothing to compare with: no control group could be built",
        "no_neighbours": "nothing to hold fixed: no texts of other people of the same kind",
        "target": "its target was reached",
        "steps": "its last step was reached",
        "selected": "the best step was chosen",
        "first_in_policy": "first in the policy's order",
        "dropped": "the part was left out; it is yet to be trained again",
        "completes_drop": "to train again, without the person, what was left out before",
        "base_knows_person": "not possible exactly: the model beneath the parts already knows this person",
        "digest_mismatch": "stopped: files or weights are not those that were named",
        "next_in_policy": "next in the policy's order, after the one before fell short",
    }
)

DELETIONS = MappingProxyType(
    {
        "exact": "exact: this model was made without the person's documents",
        "approximate": "approximate: the model was trained on the person, and changed afterwards",
        "suppression": "suppression: the model was taught not to say it, and nothing was taken out of it",
    }
)
"""What an erasure of a model is. Exact is said of the procedure, on the documents that the search found."""

EXACT = frozenset({"sisa"})
"""The methods that make a model exactly or not at all."""

INEXACT = MappingProxyType(
    {
        "": "the model that it made did not pass",
        "base_knows_person": "the model beneath the parts already knows this person",
        "digest_mismatch": "the model, its base or a part is not the one that the manifest names",
        "method_inapplicable": (
            "the manifest of the parts does not fit: its key or its base is missing, or the corpus is "
            "not the one that the parts were trained on, with its rows in the same place"
        ),
        "method_diverged": "the numbers ran away while a part was trained again",
        "model_not_finite": "the model that it made came out with broken numbers",
        "method_over_budget": "it took longer than the policy allows",
        "out_of_memory": "there was not enough memory on the machine",
        "no_controls": "without people never seen nobody can tell whether the base knows this person",
    }
)
"""Why an exact method is not what is in service, by the code of its attempt."""

OUTCOMES = MappingProxyType(
    {
        "PASS": "passed",
        "FAIL": "failed",
        "INCONCLUSIVE": "inconclusive",
        "NOT_RUN": "not run",
    }
)

SUPPRESSED = "Suppressed, not erased from the model, as far as the agreed attacks can tell"
"""The headline in place of "erased", where a model passed by a method that suppresses."""

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

RECALLED = MappingProxyType(
    {
        "name": "name",
        "alias": "other name",
        "email": "e-mail address",
        "phone": "phone number",
        "address": "postal address",
        "birth_date": "birth date",
        "record_id": "record number",
        "beside": "data beside the name that the request does not give",
    }
)


def say(table: MappingProxyType[str, str], code: str) -> str:
    """The words of a code, or the code with its underscores as spaces."""
    return table.get(code) or code.replace("_", " ")
