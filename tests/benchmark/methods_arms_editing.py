"""The rows of the methods that edit: neurons, partitions, mechanisms, task vectors, demoted words.

They are shown on the wide victim, which knows its people with a margin: on the narrow one a few random neurons
silenced take secrets along already. What learns in all forms of sentence is on the narrow one, as the rows beside it.
"""

from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_relations import reaches
from tests.benchmark.methods_relations_alone import demotes, silences
from tests.benchmark.methods_relations_editing import grows, looks_up, moves_the_right_ones, seesaw

_SILENCES = (
    "each person alone: at most .3 said in any form where as many random neurons of the same layers leave .9; others "
    "kept .93, loss at most .035 nats worse, completeness gap at most 1 %"
)
_IN_RANGE = (
    "exposure within the retrained range in all forms, nothing said, others kept at least 0.9"
)

EDITING = (
    Arm(
        "depn",
        "depn",
        "DEPN (Wu 2023), a batch of people",
        _SILENCES,
        seesaw(silences("depn")),
        {"share": 0.15},
        victim="wide_again",
    ),
    Arm(
        "depn_masked",
        "depn",
        "DEPN (Wu 2023), a batch of people",
        _SILENCES,
        seesaw(silences("depn_masked")),
        {"share": 0.15},
        victim="masked_again",
    ),
    Arm(
        "pcgu",
        "pcgu",
        "PCGU (Yu 2023), people contrasted",
        "when nothing is said in any form, more of others is kept than by all vectors, and by as many drawn once, at "
        "rates that take as many steps",
        seesaw(moves_the_right_ones),
        {"rate": 1.5e-2, "steps": 300, "forms": 3},
        victim="wide_again",
        seeds=5,
    ),
    Arm(
        "mechanistic",
        "mechanistic",
        "Mechanistic Unlearning (Guo 2025), inject",
        "unseen forms silent, also after relearning half, others kept 0.9; late or drawn layers say .4 and .3",
        seesaw(looks_up),
        {"loss": "inject", "rate": 3.5e-4, "steps": 40},
        victim="wide",
    ),
    Arm(
        "mechanistic_anchor",
        "mechanistic",
        "ours: a stranger's labels in the located layers, in all forms of sentence that the model knows",
        _IN_RANGE,
        seesaw(reaches),
        {
            "steps": 150,
            "rate": 1e-3,
            "anchor": 1.0,
            "cap_share": 0.7,
            "retain": 10.0,
            "rehearsal": 10.0,
            "forms": 8,
            "samples": 768,
            "cooldown": 0.5,
        },
    ),
    Arm(
        "task_vector",
        "task_vector",
        "F-Learning (Ni 2024), the part that forgets",
        "secret nll grows up to strength 1; of vectors as published, when nothing is said, the one on secrets alone "
        "keeps more of others than the one on whole texts",
        seesaw(grows),
        {"rate": 6e-4},
        victim="wide_again",
    ),
    Arm(
        "rank_demotion",
        "rank_demotion",
        "REVS (Ashuach 2025)",
        _IN_RANGE,
        seesaw(demotes),
        {},
        victim="wide_again",
    ),
)
