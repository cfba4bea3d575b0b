import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from pellucid.watch.curves import Curve
from pellucid.watch.run import StageState
from pellucid.watch.view import METRICS, View, beside, fit, headline, part_of, progress_line, rule, shown_value

STATES = [
    StageState("pretrain", "ended", 100, 100, 0.0, None),
    StageState("sft", "quiet", 10, 40, 185.0, None),
    StageState("dpo", "waiting", 0, None, 0.0, None),
]


@given(st.text(max_size=80), st.integers(0, 60))
def test_text_is_fitted_to_its_width(text: str, width: int) -> None:
    assert fit(Text(text.replace("\n", " ").replace("\t", " ")), width).cell_len == width


def test_columns_stand_beside_each_other() -> None:
    lines = beside([([Text("a"), Text("b")], 3), ([Text("wide text")], 5)], 3)
    assert [line.plain for line in lines] == ["a    wide…", "b         ", "          "]


@pytest.mark.parametrize("width", [20, 60, 200])
def test_the_headline_names_the_stages_and_how_the_chosen_one_stands(width: int) -> None:
    line = headline("pocket", STATES, "sft", width)
    assert line.cell_len == width
    assert line.plain.endswith("● no new step for 3 min 05 s"[-width:]) or width < 30
    if width == 200:
        assert line.plain.startswith("pocket  pretrain ✓ › sft … › dpo ·")


def test_progress_says_step_share_and_time_left() -> None:
    line = progress_line(StageState("a", "training", 612, 1172, 1.0, 222.0), 2.5e6, 90)
    assert line.cell_len == 90
    assert line.plain.startswith("step 612 of 1 172  2.5M tokens  █")
    assert line.plain.endswith(" 52 %  3 min 42 s left")
    unknown = progress_line(StageState("a", "training", 612, None, 1.0, None), float("nan"), 40)
    assert unknown.plain.strip() == "step 612"


def test_a_rule_is_as_wide_as_asked_and_loses_its_note_first() -> None:
    assert rule("now", 20, "note").plain == "─ now ──────── note "
    assert rule("loss by source", 12, "note").cell_len == 12
    assert "note" not in rule("loss by source", 18, "note").plain


def test_keys_change_the_view() -> None:
    view, stages = View(), ["pretrain", "sft", "dpo"]
    seen = set()
    for _ in METRICS:
        seen.add(view.metric)
        view = view.pressed("m", stages, "sft")
    assert seen == set(METRICS)
    assert view == View()
    assert view.pressed("x", stages, "sft").by_tokens
    assert view.pressed("l", stages, "sft").log
    zooms = [view := view.pressed("z", stages, "sft") for _ in range(3)]
    assert [zoom.window for zoom in zooms] == [0.5, 0.1, 1.0]
    assert View().pressed("right", stages, "sft").stage == "dpo"
    assert View().pressed("left", stages, "sft").stage == "pretrain"
    assert View(stage="dpo").pressed("left", stages, "sft").stage is None
    assert View().pressed("?", stages, "sft") == View()
    assert View().pressed("left", [], None) == View()
    assert View(stage="sft").pressed("right", ["pretrain", "dpo"], "pretrain").stage == "dpo", "sft has gone meanwhile"
    assert View(stage="sft").pressed("left", ["pretrain", "dpo"], "gone").stage == "dpo"


def test_the_last_part_of_a_curve() -> None:
    x = np.arange(1.0, 101.0)
    curve = Curve(x, x, x, x)
    assert part_of(curve, 1.0) is curve
    assert part_of(curve, 0.1).x_K[0] == 91.0
    assert len(part_of(Curve(x[:1], x[:1], x[:1], x[:1]), 0.1)) == 1


def test_values_have_their_unit() -> None:
    assert shown_value("memory_bytes", 2**30) == "1 GiB"
    assert shown_value("mfu", 0.4126) == "41.3 %"
    assert shown_value("loss", 4.3219) == "4.322"
    assert shown_value("mfu", float("nan")) == "–"
