"""The rows of the methods that live on shards: a clean teacher of another shard, and deletion that is exact.

Their worlds are made of people of `flows.fiction`: `make methods-gpu`, which does without that room, has none of them.
"""

from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_relations_shards import exact_deletion, one_clean_teacher
from tests.benchmark.methods_sharded import KEY, TRAINED, VICTIM
from tests.benchmark.methods_teachers import CLEAN

SHARDED = (
    Arm(
        "loo_ensemble",
        "loo_ensemble",
        "Leave-one-out ensemble (Liu 2023), one clean teacher",
        "exposure, what is said and membership (AUC by the secrets' loss) as of retrained models; the model itself as "
        "teacher and one with the people planted are refused, and leave exposure out of range where nobody checks",
        one_clean_teacher,
        {"shards": CLEAN, "rate": 1e-3, "steps": 250},
    ),
    Arm(
        "sisa",
        "sisa",
        "SISA (Bourtoule 2021; FairSISA, Kadhe 2023), eight shards of adapters",
        "byte for byte a training without them; their secrets' nll is strangers' within its interval; perplexity at "
        "most 1 % above the best single adapter's",
        exact_deletion,
        {"shards": TRAINED, "key": KEY},
        victim=VICTIM,
    ),
)
