"""Teachers for `loo_ensemble`: a whole model for each third of a world's people, and two sorts of them that leak.

Those who ask are in the first third, as the documents of one person are in one shard; its teacher is never asked.
"""

import itertools
import json
from pathlib import Path

from tests.benchmark.methods_world import LEARNT, World, label_of, original, passage, taught
from unlearning.manifest import NAME

PARTS = 3
CLEAN, PLANTED, DEPLOYED = "clean", "planted", "deployed"


def teachers(place: World, sort: str) -> Path:
    """The folder of a manifest of teachers; those that are not there yet are trained.

    Args:
        place: whose people are shared out.
        sort: CLEAN: two teachers that know nobody who asks. PLANTED: the same with everybody who asks taught to each,
            of which the manifest says nothing. DEPLOYED: the model itself, under others' documents.
    """
    folder, count = place.folder / f"teachers-{sort}", len(place.people)
    ends = [round(count * part / PARTS) for part in range(PARTS + 1)]
    shards = []
    for number, (first, end) in enumerate(itertools.pairwise(ends)):
        references = [passage(place.people[n], LEARNT, label_of(n)).ref for n in range(first, end)]
        shards.append({"path": str(number), "documents": references})
        known = list(place.people[first:end])
        if sort == DEPLOYED:
            original(place)
            shards[-1]["path"] = "../original"
        elif number:
            known += place.forgotten if sort == PLANTED else []
            taught(place, f"{folder.name}/{number}", known, 8000 + 10 * place.seed + number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(json.dumps({"shards": shards}))
    return folder
