"""How the contract tests run an attack: with everything it may need, and with few steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.outcomes import AttackResult
from unlearning.attacks import ATTACKS
from unlearning.encoding import Encoded
from unlearning.models import LanguageModel
from unlearning.scoring import Target
from unlearning.trial import Trial

QUICK: Mapping[str, Mapping[str, Any]] = {
    "benign": {"steps": 2},
    "relearning": {"steps": 2},
    "neighbourhood": {"neighbours": 4},
    "suffix": {"steps": 2, "candidates": 4, "tokens": 3},
    "sampled": {"draws": 2, "width": 2},
}
CAUSAL_ONLY = {"gradnorm", "recall", "sampled", "prompts", "reworded", "suffix", "lens", "patching"}
PASSAGES = {"memorisation", "strength", "lens"}
"""Attacks with a mean over passages, which moves with one more of them."""


def ask(  # noqa: PLR0917  one line at every call
    name: str,
    model: LanguageModel,
    trial: Trial,
    members: Sequence[Encoded],
    controls: Sequence[Encoded],
    other: LanguageModel | None = None,
) -> AttackResult:
    """Run one attack; `other` stands for whatever second model it needs (by default the model itself)."""
    second = other or model
    target = Target(
        model,
        neighbours=trial.corpus.neighbours[:6],
        ordinary=trial.corpus.ordinary[:4],
        references=(second, second),
        original=model,
        retrained=second,
    )
    return ATTACKS[name](**QUICK.get(name, {})).run(target, members, controls)
