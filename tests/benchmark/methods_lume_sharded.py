"""The world of the row of `sisa` in `make methods-gpu`: LUME people in shards of adapters, on a base that read others.

Those who ask and half of the others are in the shards; the base knows the remaining people, whose records have the same
form. As in `make methods` the model knows those in its shards less well than the victims of the other rows.
"""

from collections.abc import Sequence
from dataclasses import replace

from domain.records import Passage
from domain.secrecy import Secret
from tests.benchmark.lume import ordinary_pieces
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_lume import BIOGRAPHY, FOLDER, QUESTIONS, Person, World
from tests.benchmark.methods_shards import controls, deployed
from unlearning.assignment import Source
from unlearning.encoding import Encoded, encode
from unlearning.lookalikes import Pool, ranked_among
from unlearning.trial import prepare

UNREAD_PIECES = 20  # about nobody, read by no model


def bench(place: World) -> Bench:
    """Train base and shards where they are not there yet; split, encode, and draw candidates, all from one seed."""
    size = place.size
    count = size.forgotten + len(place.remaining) // 2
    inside, read = place.people[:count], place.people[count:]
    base = place.model("base", read, 9000)
    known = _all(inside)
    sources = [Source(p.ref, p.text.reveal(), (p.person,)) for p in known]
    folder = FOLDER / place.name / "shards"
    model = deployed(folder, base, sources, size.shards)
    neighbours = _all(inside[size.forgotten :])
    pieces = [
        Passage(f"o.jsonl#{n}", Secret(text), (), "")
        for n, text in enumerate(ordinary_pieces(size.pieces + UNREAD_PIECES), start=1)
    ]
    trial = prepare(
        model,
        _all(place.forgotten),
        neighbours,
        pieces[: size.pieces],
        seed=0,
        controls=8,
        texts=lambda: known,
    )
    rivals = ranked_among(Pool.of(neighbours, model.tokenizer), 127, 0)

    def encoded(passages: Sequence[Passage]) -> tuple[Encoded, ...]:
        return encode(model, passages, rivals)

    unread = encoded(_all(place.unread))
    scored = {row.person for row in trial.others}
    return Bench(
        model,
        replace(trial, controls=unread, retained=encoded(pieces[size.pieces :])),
        {form: encoded(_all(place.forgotten, form)) for form in (BIOGRAPHY, QUESTIONS)},
        encoded([p for p in neighbours if p.person in scored]),
        unread,
        controls(base, sources, size.shards, trial.corpus.references),
        size.rate,
        size.harder,
        size.latent,
        lies=lambda name: str(folder / name),
        controls=size.controls,
    )


def _all(people: Sequence[Person], *forms: str) -> list[Passage]:
    return [passage for person in people for passage in person.passages(*forms)]
