"""The world of the row of `sisa`: people in eight shards of adapters, as `make exact` has them, ready for the bench.

The model is what `train` makes, so it knows its people less well than the victims of the other rows: nobody's secrets
are said to begin with. What its row shows is that the deletion is exact, not that much was forgotten. It is judged
against people of the same making whom nobody has read: an erasure's own strangers have names that nobody else has, so
that they are less likely than any person here, read or not.
"""

from collections.abc import Sequence
from dataclasses import replace

from domain.records import Passage
from tests import tiny
from tests.benchmark import exact
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_shards import VICTIM, controls, deployed
from tests.benchmark.methods_world import FOLDER
from unlearning.encoding import Encoded, encode
from unlearning.lookalikes import Pool, ranked_among
from unlearning.trial import prepare

FIRST = 27
"""Of its seeds; the row had been seen on those before when its relation was changed."""
FORGOTTEN, SHARDS = 6, 8
FORMS = ("card", "letter", "parcels")


def bench(seed: int) -> Bench:
    """Train base and shards where they are not there yet; split, encode, and draw candidates, all from the seed."""
    folder = FOLDER / f"{VICTIM}-{seed}"
    here = exact.world(exact.PRETRAINING, seed)
    recipe = exact.recipe_of(SHARDS, 1, 0)
    model = deployed(folder, here.base, here.sources, recipe)
    known = _passages(here)
    asking = {str(n) for n in range(FORGOTTEN)}
    members = [p for p in known if p.person in asking]
    neighbours = [p for p in known if p.person not in asking]
    sentences = tiny.sentences(here.place)
    trial = prepare(
        model,
        members,
        neighbours,
        sentences,
        seed=seed,
        controls=8,
        texts=lambda: known,
    )
    rivals = ranked_among(Pool.of(neighbours, model.tokenizer), 127, seed)

    def encoded(passages: Sequence[Passage]) -> tuple[Encoded, ...]:
        return encode(model, passages, rivals)

    scored = {row.person for row in trial.others}
    unread = [p for n, x in enumerate(here.place.unknown) for p in tiny.passages(x, f"unread-{n}")]
    return Bench(
        model,
        replace(trial, controls=encoded(unread), retained=encoded(sentences)),
        {form: encoded(members[n :: len(FORMS)]) for n, form in enumerate(FORMS)},
        encoded([p for p in neighbours if p.person in scored]),
        encoded(unread),
        controls(here.base, here.sources, recipe, trial.corpus.references),
        lies=lambda name: str(folder / name),
    )


def _passages(here: exact.World) -> list[Passage]:
    """Everybody's documents with their spans, where they stand in the shards' corpus."""
    found = []
    for number, person in enumerate(here.place.known):
        own = {p.text.reveal(): p for p in tiny.passages(person, str(number))}
        sources = [s for s in here.sources if s.people == (str(number),)]
        found += [replace(own[s.text], ref=s.reference) for s in sources]
    return found
