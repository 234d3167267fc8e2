"""The row of the method that deletes shards, which is exact."""

from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_relations_shards import exact_deletion
from tests.benchmark.methods_shards import KEY, TRAINED, VICTIM

SHARDED = (
    Arm(
        "sisa",
        "sisa",
        "SISA (Bourtoule 2021; FairSISA, Kadhe 2023), eight shards of adapters",
        "byte for byte a training without them; their secrets' nll is as far from that of people nobody has read as "
        "the base's, within its interval, to the model and to the shards that held them, which knew them before; "
        "perplexity on those and on sentences at most 1 % above the best single adapter's",
        exact_deletion,
        {"shards": TRAINED, "key": KEY},
        victim=VICTIM,
    ),
)
