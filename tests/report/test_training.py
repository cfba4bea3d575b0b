from itertools import pairwise
from pathlib import Path

import pytest

from pellucid.report.drawings import figures_of
from pellucid.report.facts import Facts
from pellucid.report.html import render
from pellucid.report.training import _by_source, architecture, training
from pellucid.stages.run_folder import open_recipe


def test_every_stage_has_its_layout_losses_and_rate_as_run(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    section = training(Facts(finished_run), recipe)
    assert section is not None
    page = render(section)
    captions = [one.caption for one in figures_of([section])]
    for stage in recipe.train:
        assert f"<h3>{stage.name}</h3>" in page
        assert {f"Training loss of {stage.name}.", f"Learning rate of {stage.name} as run."} <= set(captions)
    assert "Training loss of pretrain by source." in captions
    for row in ("precision", "threads", "sharding", "tokens per second (median step)", "loss of the last step, nats per pair"):
        assert f"<td>{row}</td>" in page


def test_losses_by_source_are_means_over_steps(finished_run: Path) -> None:
    facts = Facts(finished_run)
    section = training(facts, open_recipe(finished_run))
    assert section is not None
    by_source = next(one for one in figures_of([section]) if one.caption == "Training loss of pretrain by source.")
    steps = [record for record in facts.document("pretrain/metrics.jsonl") if "loss" in record]
    count = min(40, len(steps))
    assert len(by_source.drawing.rows) <= count and by_source.drawing.rows[-1][0] == steps[-1]["tokens"] / 1e6
    width = len(steps) // count
    name = by_source.drawing.columns[1]
    first = [record["loss_by_source"][name] for record in steps[:width] if name in record["loss_by_source"]]
    assert by_source.drawing.rows[0][1] == (sum(first) / len(first) if first else None)


@pytest.mark.parametrize("count", [1, 7, 40, 41, 90, 1172])
def test_no_point_of_a_loss_by_source_is_a_mean_of_much_fewer_steps_than_the_others(count: int) -> None:
    # Every other step is half a nat off: a mean of few steps would show it.
    steps = [(n, {"tokens": 1e6 * (n + 1), "loss_by_source": {"a": 2 + n % 2, "b": 1.0}}) for n in range(count)]
    drawing = _by_source(steps, "nats")
    assert drawing is not None
    ends = [0, *(round(float(row[0] or 0)) for row in drawing.rows)]
    widths = {after - before for before, after in pairwise(ends)}
    assert ends[-1] == count and len(ends) - 1 == min(count, 40) and max(widths) - min(widths) <= 1
    for width in widths - {1}:
        assert str(width) in drawing.svg.partition("mean of ")[2][:20]


def test_parameters_are_counted_by_part(finished_run: Path) -> None:
    section = architecture(Facts(finished_run), open_recipe(finished_run))
    assert section is not None
    page = render(section)
    assert '<tr class="total"><td>total</td>' in page and "<td>embedding</td>" in page
