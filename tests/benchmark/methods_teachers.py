"""Teachers for `loo_ensemble`: a whole model for each third of a world's people, and two sorts of them that leak.

Those who ask are in the first third, as the documents of one person are in one shard; its teacher is never asked.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from unlearning.manifest import NAME

PARTS = 3
CLEAN, PLANTED, DEPLOYED = "clean", "planted", "deployed"
Person = TypeVar("Person")


def teachers(
    models: Path,
    sort: str,
    people: Sequence[Person],
    *,
    asking: int,
    references: Sequence[str],
    taught: Callable[[str, Sequence[Person], int], object],
) -> Path:
    """The folder of a manifest of teachers; those that are not there yet are trained.

    Args:
        models: folder of the world's models, "original" among them.
        sort: CLEAN: two teachers that know nobody who asks. PLANTED: the same with everybody who asks taught to each,
            of which the manifest says nothing. DEPLOYED: the model itself, under others' documents.
        people: who are shared out; the first `asking` of them ask to be forgotten.
        asking: at most a third of them.
        references: of each person's document, in the same order.
        taught: trains a model of that name that knows these people, with a number of its own to draw from.
    """
    folder = models / f"teachers-{sort}"
    ends = [round(len(people) * part / PARTS) for part in range(PARTS + 1)]
    shards = []
    for number, (first, end) in enumerate(itertools.pairwise(ends)):
        shards.append({"path": str(number), "documents": references[first:end]})
        if sort == DEPLOYED:
            shards[-1]["path"] = "../original"
        elif number:
            planted = people[:asking] if sort == PLANTED else ()
            taught(f"{folder.name}/{number}", [*people[first:end], *planted], number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(json.dumps({"shards": shards}))
    return folder
