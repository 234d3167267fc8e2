"""The rows of methods that measure against helper models, or learn in layers of their own."""

from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_relations_gaps import aligned, each_loss_counts, runs_away

_LAYERS = {"rate": 2e-3, "steps": 400, "samples": 768}
_OF_T5 = {"rate": 2e-3, "steps": 600, "lora_rank": 16}
_OF_CLASSES = {"rate": 1e-3, "steps": 600, "near": 0.8}
_GAP = {"rate": 1e-3, "steps": 250}
_ALIGNED = (
    "the gap ends within 5 % of never-seen people's, whose gap is a retrained model's within a quarter or the interval "
    "of so few passages; KL on others at most .05; helpers that do not know their sets are refused"
)
_COUNTS = (
    "ends at strangers' level, others kept at least 0.8 (of models that do not speak unasked: those in the loss); in "
    "as many steps fewer tokens get there without the language-model loss; without the KL fewer do, or more of others "
    "is lost; at the same level less is kept without the task loss; fused layers of two requests are nearer to each "
    "than their mean"
)
_KGA, _EUL = "KGA (Wang 2023), every passage's gap", "EUL (Chen 2023), bounded, warm start"

GAPS = (
    Arm("kga", "kga", _KGA, _ALIGNED, aligned, _GAP),
    Arm(
        "eul",
        "eul",
        _EUL,
        _COUNTS,
        each_loss_counts,
        _LAYERS,
        victim="causal_fresh",
    ),
    Arm(
        "eul_published",
        "eul",
        "EUL (Chen 2023), as published",
        "runs away: secrets twice as unlikely as for a retrained model, and more of other people is lost than above",
        runs_away,
        {**_LAYERS, "rate": 5e-3, "bounded": False, "retain": 1.0, "rehearsal": 0.0, "samples": 0},
        victim="causal_later",
    ),
    Arm("kga_llama", "kga", _KGA, _ALIGNED, aligned, _GAP, victim="llama_many"),
    Arm("eul_llama", "eul", _EUL, _COUNTS, each_loss_counts, _LAYERS, victim="llama_many"),
    Arm("kga_seq2seq", "kga", _KGA, _ALIGNED, aligned, _GAP, victim="seq2seq_many"),
    Arm("kga_classifier", "kga", _KGA, _ALIGNED, aligned, _GAP, victim="classifier_later"),
    Arm("eul_seq2seq", "eul", _EUL, _COUNTS, each_loss_counts, _OF_T5, victim="seq2seq_last"),
    Arm(
        "eul_classifier",
        "eul",
        _EUL,
        _COUNTS,
        each_loss_counts,
        _OF_CLASSES,
        victim="classifier_later",
    ),
)
