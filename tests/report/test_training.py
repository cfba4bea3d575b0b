from pathlib import Path

from pellucid.report.drawings import figures_of
from pellucid.report.facts import Facts
from pellucid.report.html import render
from pellucid.report.training import architecture, training
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
    assert len(by_source.drawing.rows) <= 40 and by_source.drawing.rows[-1][0] == steps[-1]["tokens"] / 1e6
    width = -(-len(steps) // 40)
    name = by_source.drawing.columns[1]
    first = [record["loss_by_source"][name] for record in steps[:width] if name in record["loss_by_source"]]
    assert by_source.drawing.rows[0][1] == (sum(first) / len(first) if first else None)


def test_parameters_are_counted_by_part(finished_run: Path) -> None:
    section = architecture(Facts(finished_run), open_recipe(finished_run))
    assert section is not None
    page = render(section)
    assert '<tr class="total"><td>total</td>' in page and "<td>embedding</td>" in page
