"""The rows of `make methods`: which method with which settings, and the relation of its paper.

The papers' rates are for models of billions; all rows here have one of their own, fixed on the development seed.
"""

from collections.abc import Mapping
from typing import Any

from tests.benchmark.methods_arms_editing import EDITING
from tests.benchmark.methods_arms_gaps import GAPS
from tests.benchmark.methods_arms_reward import REWARDED
from tests.benchmark.methods_arms_teachers import TAUGHT
from tests.benchmark.methods_bench import LATENT, RATE, push_options
from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_relations import (
    anchored,
    answers_randomly,
    damages,
    gentle,
    reaches,
    selective,
    slower,
    spares,
    stays_forgotten,
    withstands,
)

_FAR = {"steps": 250, "rate": 1e-3, "cap_share": 0.9, "retain": 10.0, "rehearsal": 10.0}
_HEARD = {"forms": 8, "samples": 768}
_PUSHED = push_options(LATENT)
_NPO = {"rate": RATE, "steps": 60, "retain_term": "kl"}
_AGAIN = {"steps": 1800, "batch": 16, "length": 64, "rate": 5e-3, "seed": 99}
_AGAIN_FEW = {**_AGAIN, "steps": 800}
_AGAIN_MASKED = {**_AGAIN, "steps": 2600, "rate": 4e-3}
_AGAIN_CLASSIFIER = {**_AGAIN, "steps": 2000, "rate": 2e-3}
_IN_RANGE = (
    "exposure within the retrained range in all forms, nothing said, others kept at least 0.9"
)

_ROWS = (
    Arm("retrain", "retrain", "the oracle", _IN_RANGE, reaches, _AGAIN),
    Arm(
        "gradient_ascent",
        "gradient_ascent",
        "Knowledge Unlearning (Jang 2023), batch",
        "meets its criterion within 60 steps; other people of the same form are kept less than 0.9",
        damages,
        {"rate": RATE, "steps": 60},
    ),
    Arm(
        "gradient_ascent_sequential",
        "gradient_ascent",
        "Knowledge Unlearning (Jang 2023), two at a time",
        "the same",
        damages,
        {"rate": RATE, "steps": 60, "chunk": 2},
    ),
    Arm(
        "selective_ascent",
        "selective_ascent",
        "SeUL (Wang 2024), bounded",
        "tokens outside spans keep 0.95 of their accuracy, more than after ascent; S-MA at its or a retrained level",
        selective,
        _FAR,
    ),
    Arm(
        "selective_ascent_forms",
        "selective_ascent",
        "ours: SeUL's in all forms of sentence that the model knows",
        _IN_RANGE,
        reaches,
        {**_FAR, **_HEARD, "steps": 150, "cap_share": 0.5},
    ),
    Arm(
        "llmu",
        "llmu",
        "LLMU (Yao 2023)",
        "random-answer loss falls, KL at most 1, others and perplexity better than after plain ascent, nothing said",
        answers_randomly,
        {"rate": RATE, "steps": 90, "batch": 6},
    ),
    Arm(
        "npo",
        "npo",
        "NPO (Zhang 2024), KL on neighbours",
        "without a retain term slower than ascent, and no explosion over five times its steps",
        slower,
        _NPO,
    ),
    Arm(
        "simnpo",
        "simnpo",
        "SimNPO (Fan 2024)",
        "keeps others better and forgets less than GradDiff at equal rate and steps",
        gentle,
        {"rate": RATE, "steps": 30},
    ),
    Arm(
        "grad_diff",
        "grad_diff",
        "GradDiff (Liu 2022)",
        "stopped as soon as it says next to nothing, it keeps more of other people than without its retain term",
        spares("grad_diff"),
        {"rate": RATE, "steps": 30},
    ),
    Arm(
        "ga_kl",
        "grad_diff",
        "GA+KL (Maini 2024)",
        "the same",
        spares("ga_kl"),
        {"rate": RATE, "steps": 30, "retain_term": "kl"},
    ),
    Arm(
        "adv_ga",
        "adversarial",
        "LAU (Yuan 2024), AdvGA",
        "a smaller share comes back under the latent attack than after GradDiff; without a push exactly GradDiff",
        withstands("grad_diff", {"base": "ga"}),
        {"rate": RATE, "steps": 60, "base": "ga", **_PUSHED},
    ),
    Arm(
        "adv_npo",
        "adversarial",
        "LAU (Yuan 2024), AdvNPO",
        "a smaller share comes back under the latent attack than after NPO; without a push exactly NPO",
        withstands("npo", {"base": "npo"}),
        {**_NPO, "base": "npo", **_PUSHED},
    ),
    Arm(
        "anchor_distillation",
        "anchor_distillation",
        "Who's Harry Potter (Eldan 2023), soft labels, in all forms of sentence that the model knows",
        "exposure within the retrained range, others kept at least 0.9; after reinforcement alone it is not",
        anchored,
        {**_FAR, **_HEARD, "steps": 150, "anchor": 1.0, "cap_share": 0.5},
    ),
    Arm(
        "relearning_ascent",
        "relearning_ascent",
        "ours: ascent at relearnt weights, in all forms of sentence that the model knows",
        "like a retrained model; relearning half brings back at most half a bit more, harder a bit less than SeUL's",
        stays_forgotten,
        {**_HEARD, "steps": 150, "cap_share": 0.3, "name_share": 1.0, "relearnt": 1.0},
    ),
    Arm(
        "retrain_masked",
        "retrain",
        "the oracle",
        _IN_RANGE,
        reaches,
        _AGAIN_MASKED,
        victim="masked",
    ),
    Arm(
        "retrain_llama",
        "retrain",
        "the oracle",
        _IN_RANGE,
        reaches,
        _AGAIN_FEW,
        victim="llama",
    ),
    Arm(
        "retrain_seq2seq",
        "retrain",
        "the oracle",
        _IN_RANGE,
        reaches,
        {**_AGAIN_FEW, "steps": 1200},
        victim="seq2seq",
    ),
    Arm(
        "retrain_classifier",
        "retrain",
        "the oracle",
        _IN_RANGE,
        reaches,
        _AGAIN_CLASSIFIER,
        victim="classifier",
    ),
    Arm(
        "selective_ascent_masked",
        "selective_ascent",
        "SeUL (Wang 2024), bounded",
        _IN_RANGE,
        reaches,
        _FAR,
        victim="masked",
    ),
    Arm(
        "anchor_distillation_masked",
        "anchor_distillation",
        "Who's Harry Potter (Eldan 2023), soft labels",
        _IN_RANGE,
        reaches,
        {**_FAR, "cap_share": 1.0},
        victim="masked",
    ),
    *EDITING,
)

ARMS: Mapping[str, Arm] = {arm.name: arm for arm in (*_ROWS, *TAUGHT, *GAPS, *REWARDED)}


def options_of(name: str) -> dict[str, Any]:
    """The options of a row, or of a method's first row."""
    return dict(next(arm for arm in ARMS.values() if name in {arm.name, arm.method}).options)
