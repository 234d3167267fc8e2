"""The rows of the method that learns from a clean teacher of another shard."""

from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_relations_teachers import one_clean_teacher
from tests.benchmark.methods_teachers import CLEAN

_LOO = "Leave-one-out ensemble (Liu 2023), one clean teacher"
_AS_RETRAINED = (
    "exposure, what is said and membership (AUC of the secrets' loss to unread people's) within the range of retrained "
    "models; others kept at least 0.9, perplexity at most x1.05; the model as teacher and one with the people planted "
    "are refused, and leave exposure out of range where nobody checks"
)
_HEARD = {
    "shards": CLEAN,
    "rate": 2e-3,
    "steps": 900,
    "retain": 0.5,
    "forms": 8,
    "samples": 768,
}

TAUGHT = (
    Arm(
        "loo_ensemble",
        "loo_ensemble",
        _LOO,
        _AS_RETRAINED,
        one_clean_teacher,
        _HEARD,
        victim="causal_new",
    ),
    Arm(
        "loo_llama",
        "loo_ensemble",
        _LOO,
        _AS_RETRAINED,
        one_clean_teacher,
        _HEARD,
        victim="llama_later",
    ),
)
