"""The section about benchmarks: every number a link to its result, printed rows marked, silence said."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.errors import ArtifactError
from pellucid.report.benchmarks import benchmarks, find_benchmarks, left_out
from pellucid.report.facts import Fact, Facts, resolve
from pellucid.report.html import Html
from pellucid.report.page import compose, write_page
from pellucid.stages.run_folder import open_recipe

Write = Callable[..., Path]
RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"


@pytest.fixture
def run(finished_run: Path, tmp_path: Path, write_result: Write) -> Path:
    """What the page reads of a finished run, with results of two suites."""
    run = tmp_path / "runs" / finished_run.name
    unread = ("checkpoints", "*.bin", "*.gguf", "*.safetensors", "benchmarks", "evals")
    shutil.copytree(finished_run, run, ignore=shutil.ignore_patterns(*unread))
    tasks = {"arc_challenge": 0.3, "hellaswag": 0.4}
    write_result(run / "evals" / "pretrain", "open_llm", "pocket", tasks, metric="acc_norm", dirty=9, items=60)
    write_result(run / "evals" / "pretrain", "choices", "pocket", {"piqa": 0.5}, items=60, complete=False, stopped_by="NaN logits")
    return run


def shown(run: Path) -> tuple[str, list[Fact]]:
    section, html = benchmarks(Facts(run), open_recipe(run)), Html()
    assert section is not None
    return html.block(section), html.numbers


def test_numbers_are_links_to_where_they_come_from(run: Path) -> None:
    page, numbers = shown(run)
    assert len(numbers) >= 12
    for fact in numbers:
        assert resolve(json.loads((run / fact.file).read_text()), fact.pointer) == fact.value
        assert f"<i>{fact.pointer}</i><code>pellucid evaluate RUN --suite " in page
    value = json.loads((run / "evals/pretrain/open_llm/result.json").read_text())["tasks"]["hellaswag"]["metrics"]["acc_norm"][
        "value"
    ]
    told = [(fact.pointer, fact.text) for fact in numbers]
    assert ("/tasks/hellaswag/metrics/acc_norm/value", f"{100 * value:.1f}") in told
    assert any("/clean/metrics/acc_norm/value" in pointer for pointer, _ in told)


def test_printed_rows_are_marked_and_ours_stands_first(run: Path) -> None:
    page, _ = shown(run)
    rows = re.findall(r'<tr( class="[^"]+")?><td>(.*?)</td>', page)
    printed = [(name, text) for name, text in rows if "†" in text]
    assert len(printed) == 11 and all("printed" in name for name, _ in printed)
    assert "Printed in Stable LM 2 (arXiv 2402.17834), Table 4; not measured here" in page
    assert "Incomplete: NaN logits." in page and "bits_per_byte ↓" in page


def test_the_page_has_the_section_and_says_what_was_not_looked_up(run: Path, tmp_path: Path) -> None:
    write_page(compose(Facts(run), open_recipe(run)), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert '<section id="benchmarks">' in page and '<a href="#benchmarks">' in page
    assert "Items of choices were not looked up in what the model was trained on." in page
    assert "No benchmark beyond" not in page


def test_without_results_there_is_no_section_and_that_is_said(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "evals")
    facts = Facts(run)
    assert benchmarks(facts, open_recipe(run)) is None and find_benchmarks(run) == []
    assert left_out(facts) == ["No benchmark beyond held-out text and conversations was run on this model."]
    write_page(compose(Facts(run), open_recipe(run)), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert left_out(facts)[0] in page and "No suite was run on this model" in page


def test_what_the_recipe_asked_for_is_in_the_report_of_the_run(finished_run: Path) -> None:
    files = find_benchmarks(finished_run)
    assert files and all(file.startswith("benchmarks/") for file in files)
    page = (finished_run / "report" / "index.html").read_text()
    assert '<section id="benchmarks">' in page and all(f'href="../{file}"' in page for file in files)


def test_results_of_another_version_are_refused(run: Path) -> None:
    file = run / "evals/pretrain/choices/result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 9}))
    with pytest.raises(ArtifactError, match=r"choices/result\.json is no result of schema 1"):
        benchmarks(Facts(run), open_recipe(run))


def test_what_is_being_made_is_passed_over(run: Path) -> None:
    shutil.copytree(run / "evals/pretrain/choices", run / "evals/pretrain/.choices.part")
    shutil.copytree(run / "evals/pretrain/choices", run / "evals/pretrain/choices.superseded-1")
    assert find_benchmarks(run) == ["evals/pretrain/choices/result.json", "evals/pretrain/open_llm/result.json"]


def test_the_report_is_made_again_when_a_suite_was_run(
    run_copy: Path, write_result: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    call = ["report", str(RECIPE), "--runs", str(run_copy.parent)]
    assert main(call) == 0
    assert "unchanged" in capfd.readouterr().err
    write_result(run_copy / "evals" / "pocket", "choices", "pocket", {"piqa": 0.5}, items=20)
    assert main(call) == 0
    assert '<section id="benchmarks">' in (run_copy / "report" / "index.html").read_text()


def test_the_needle_has_its_heat_map(run: Path, write_result: Write) -> None:
    table = {"limits": [0, 1], "mean": [[0.25, 1.0]], "deviation": [[0.0, 0.0]], "count": [[4, 4]]}
    facts = {"lengths": [500], "depths_percent": [0.0, 100.0], "seeds": 4, "tables": {"exact": table}}
    write_result(run / "evals" / "pretrain", "needle", "pocket", {"needle": 0.5}, metric="exact", items=8, facts=facts)
    page, _ = shown(run)
    assert "exact match, mean (0 to 1)" in page and "evals/pretrain/needle/result.json#/facts/tables" in page


def test_the_strict_match_is_shown_of_gsm8k_and_humaneval_of_the_suite_itself(run: Path) -> None:
    file = run / "evals" / "pretrain" / "open_llm" / "result.json"
    raw = json.loads(file.read_text())
    cell = raw["tasks"]["hellaswag"]["metrics"]["acc_norm"]
    names = {"exact_match,flexible-extract": 0.75, "exact_match,strict-match": 0.25}
    raw["tasks"]["gsm8k"] = raw["tasks"]["hellaswag"] | {
        "clean": {"metrics": {}}, "metrics": {name: cell | {"value": value} for name, value in names.items()}
    }  # fmt: skip
    raw["tasks"]["humaneval"] = raw["tasks"]["gsm8k"] | {"metrics": {"pass@1": cell | {"value": 0.5}}}
    file.write_text(json.dumps(raw, sort_keys=True))
    page, _ = shown(run)
    assert "exact_match,strict-match, %" in page and "flexible-extract" not in page
    other = file.parent.parent / "instruct_eval" / "result.json"
    other.parent.mkdir()
    other.write_text(json.dumps(raw | {"suite": "instruct_eval"}, sort_keys=True))
    page, _ = shown(run)
    row = re.search(r"HumanEval \(0\).*?</tr>.*?</tr>", page, re.DOTALL)
    assert row is not None and ">50.0</a>" in row.group() and "<i>/tasks/humaneval/metrics/pass@1/value</i>" in row.group()
