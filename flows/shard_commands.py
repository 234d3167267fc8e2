"""The commands about models made of shards: `lethe train` and `lethe fairness`."""

from pathlib import Path
from typing import Annotated

import typer

from flows import console
from flows.console import Json


def train(
    base: Annotated[Path, typer.Argument(help="A model with no person in it.", show_default=False)],
    *,
    data: Annotated[
        str,
        typer.Option(help="The corpus, as the catalog would name it.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="New folder of the model.", show_default=False)],
    text_field: Annotated[str, typer.Option(help="Field with the text.")] = "text",
    person_field: Annotated[
        str, typer.Option(help="Field with a label, or labels, of the people in it.")
    ] = "",
    label_field: Annotated[
        str, typer.Option(help="For a classifier: field with the class of the text.")
    ] = "",
    shards: Annotated[int, typer.Option(help="Parts that can be trained again alone.")] = 8,
    slices: Annotated[int, typer.Option(help="Points to go on from, by people (SISA).")] = 1,
    every: Annotated[int, typer.Option(help="Steps between points, for replay; 0: none.")] = 0,
    rank: Annotated[int, typer.Option(help="Of the adapters; 0: all weights.")] = 16,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    steps: Annotated[int, typer.Option(help="Of each part.")] = 300,
    batch: Annotated[int, typer.Option(help="Texts in a step.")] = 8,
    length: Annotated[int, typer.Option(help="Tokens of a text read at once.")] = 128,
    seed: Annotated[int, typer.Option(help="Of first weights and order.")] = 0,
    near: Annotated[float, typer.Option(help="Share in common of near-duplicates.")] = 0.7,
    as_json: Json = False,
) -> None:
    """Fine-tune a model so that a person can be taken out exactly: shards of people, each LoRA or whole."""
    from flows import desk
    from unlearning.recipe import Recipe

    recipe = Recipe(
        shards=shards,
        slices=slices,
        every=every,
        rank=rank,
        rate=rate,
        steps=steps,
        batch=batch,
        length=length,
        seed=seed,
        near=near,
    )
    with console.moving("train", as_json):
        made = desk.train(
            base,
            data,
            out,
            recipe,
            text_field=text_field,
            person_field=person_field,
            label_field=label_field,
        )

    def words() -> None:
        counts = made["documents"]
        held = f"{sum(counts)} in {len(counts)} shards: {', '.join(map(str, counts))}"
        console.facts("", list({**made, "documents": held}.items()))

    console.show(made, as_json, words)


def fairness(
    shards: Annotated[
        list[Path],
        typer.Argument(help="What `train` wrote; before and after an erasure, say."),
    ],
    *,
    data: Annotated[
        str, typer.Option(help="Texts that nobody learnt, as a corpus.", show_default=False)
    ],
    group_field: Annotated[
        str, typer.Option(help="Field with the group of a text.", show_default=False)
    ],
    label_field: Annotated[str, typer.Option(help="Field with its class.", show_default=False)],
    text_field: Annotated[str, typer.Option(help="Field with the text.")] = "text",
    yes: Annotated[str, typer.Option(help="The class that is a yes.")] = "1",
    as_json: Json = False,
) -> None:
    """How often the shards of a classifier err for whom, and FairSISA's three ways to mend their vote."""
    from flows import desk
    from unlearning.fairness import VARIANTS

    with console.moving("fairness", as_json):
        lines = desk.fairness(
            shards,
            data,
            text_field=text_field,
            group_field=group_field,
            label_field=label_field,
            yes=yes,
        )
    columns = ["shards", "mended", "error", "gap", "error, held out", "gap, held out"]
    numbers = ("error_fitted", "gap_fitted", "error_held_out", "gap_held_out")

    def table() -> None:
        cells = [
            [Path(line["shards"]).name, VARIANTS.get(line["variant"], "the vote as it is")]
            + [f"{line[name]:.3f}" for name in numbers]
            for line in lines
        ]
        console.table("", columns, cells)
        console.say(
            "gap: the largest difference between two groups in how often the answer is yes, among those where yes is "
            "right and among the others. Groups are needed to answer the mended ways too."
        )

    console.show(lines, as_json, table)
