"""The picture of an edit says, layer by layer, what the record holds, and says so in words too."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from domain.outcomes import Edit, Layer
from reports import edited, report, words
from reports.edited import Picture, picture
from tests.reports import cases
from unlearning import methods

NEURONS = cases.SECRETS_IN_LAYER_1
VECTORS = Edit("vectors", (Layer(None, 30, 116), Layer(None, 40, 116)), outside=Layer(None, 9, 50))


def drawn(edit: Edit | None, method: str = "depn") -> Picture | None:
    return picture(cases.editing(edit, method).models[0].attempts[-1], "m")


def texts(found: Picture | None) -> list[str]:
    assert found is not None
    return [" ".join((e.text or "").split()) for e in ET.fromstring(found.chart).iter() if e.text]


def test_every_layer_has_its_share_and_its_count() -> None:
    said = " ".join(t for t in texts(drawn(NEURONS)) if t).replace("\u202f", " ")
    for label in ("Layer 1, text goes in", "Layer 2", "Layer 4, answer comes out"):
        assert label in said
    for share, number in (("94 %", "71 of 512"), ("5.2 %", "8 of 512"), ("1.3 %", "1 of 512")):
        assert share in said
        assert number in said
    assert "Neurons silenced" in said


def test_the_words_tell_where_the_secrets_were_and_what_was_done() -> None:
    found = drawn(NEURONS)
    assert found is not None
    told = f"{found.inside} {found.found} {found.how}".replace("\u202f", " ")
    assert "4 layers with 512 neurons each" in told
    assert "94 % sat in layer 1" in told
    assert "80 of all 2 048 neurons were silenced (3.9 %), the most, 71, in layer 1" in told
    assert "within 0.4 %" in told


def test_neurons_chosen_beside_other_people_s_are_said_to_be() -> None:
    last = cases.editing(NEURONS).models[0].attempts[-1]
    assert last.trace is not None
    beside = replace(last, trace=replace(last.trace, facts={"compared": 24.0}))
    found, alone = picture(beside, "m"), picture(last, "m")
    assert found is not None
    assert alone is not None
    assert "far more than other people's" in found.found
    assert "other people's" not in alone.found


def test_shares_that_do_not_add_up_are_called_rough() -> None:
    found = drawn(replace(NEURONS, gap=0.03))
    assert found is not None
    assert "take the shares as rough" in found.how


def test_where_nothing_was_attributed_no_share_is_drawn_or_told() -> None:
    found = drawn(VECTORS, "pcgu")
    assert found is not None
    assert found.how == ""
    assert "sat in layer" not in found.found
    assert "79 of all 282 rows of numbers were moved" in found.found
    said = texts(found)
    assert "Outside of the layers" in said
    assert not any("%" in text for text in said)


def test_a_deep_model_takes_adjoining_layers_together_and_loses_none() -> None:
    edit = Edit("neurons", tuple(Layer(1 / 49, n, 64) for n in range(49)), 0.001)
    said = texts(drawn(edit))
    labels = [t for t in said if t.startswith("Layer")]
    assert len(labels) == 13
    assert labels[-1] == "Layer 49, answer comes out"
    counts = [int(m[1]) for t in said if (m := re.fullmatch(r"(\d+) of \d+", t))]
    assert sum(counts) == sum(range(49))


@pytest.mark.parametrize("layers", [1, 2, 16, 17])
def test_any_number_of_layers_is_drawn(layers: int) -> None:
    edit = Edit("neurons", tuple(Layer(0.0, 0, 8) for _ in range(layers)), 0.0)
    found = drawn(edit)
    assert found is not None
    assert f"None of the {8 * layers} neurons was silenced" in found.found


def test_no_word_of_a_big_model_s_picture_is_cut_off_or_on_top_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Figure] = []

    def kept(figure: Callable[[], Figure], *, name: str) -> str:
        made.append(figure())
        return name

    monkeypatch.setattr(edited, "inline", kept)
    with rc_context({"font.size": 9.5, "font.family": "DejaVu Sans"}):  # as `inline` sets them
        drawn(Edit("neurons", tuple(Layer(1 / 20, 11_008, 11_008) for _ in range(126)), 0.001))
        canvas = FigureCanvasAgg(made[0])
        canvas.draw()
        boxes = [
            text.get_window_extent(canvas.get_renderer())
            for text in made[0].findobj(Text)
            if isinstance(text, Text) and text.get_text() and text.get_visible()
        ]
    page = made[0].bbox
    assert len(boxes) > 3 * 16
    assert all(page.x0 <= b.x0 and b.x1 <= page.x1 for b in boxes)
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]


def test_only_the_attempt_that_was_measured_is_drawn_and_only_if_it_edited() -> None:
    assert drawn(None) is None
    assert "What was changed inside" not in report.render(cases.FULFILLED)
    assert report.render(cases.EDITED).count("What was changed inside") == 1


def test_every_method_that_edits_and_every_sort_of_piece_has_words() -> None:
    sources = {file.stem: file.read_text() for file in Path(methods.__file__).parent.glob("*.py")}
    editing = {name for name, text in sources.items() if "edit_of(" in text or "Edit(" in text}
    assert editing == words.EDITS.keys()
    assert words.PIECES.keys() == words.ABOUT_PIECES.keys() == {"neurons", "vectors"}
