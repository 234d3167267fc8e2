"""The row of the method that learns from a clean teacher of another shard."""

from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_relations_teachers import one_clean_teacher
from tests.benchmark.methods_teachers import CLEAN

TAUGHT = (
    Arm(
        "loo_ensemble",
        "loo_ensemble",
        "Leave-one-out ensemble (Liu 2023), one clean teacher",
        "exposure, what is said and membership (AUC of the secrets' loss to unread people's) as of retrained models; "
        "the model as teacher and one with the people planted are refused, and leave exposure out of range where "
        "nobody checks",
        one_clean_teacher,
        {
            "shards": CLEAN,
            "rate": 2e-3,
            "steps": 600,
            "retain": 0.5,
            "forms": 8,
            "samples": 768,
        },
        victim="causal_later",
    ),
)
