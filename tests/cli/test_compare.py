"""`pellucid compare` as people and programs see it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.cli.main import main

Write = Callable[..., Path]


@pytest.fixture
def results(write_result: Write, tmp_path: Path) -> tuple[str, str]:
    for label, shift in (("weak", 0.0), ("strong", 0.15)):
        write_result(
            tmp_path / label, "open_llm", label, {"arc_challenge": 0.3 + shift, "hellaswag": 0.4}, metric="acc_norm", dirty=9
        )  # fmt: skip
    return str(tmp_path / "weak"), str(tmp_path / "strong")


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_tables_say_who_is_better_in_words(results: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *results]) == 0
    shown = lines(capsys.readouterr().out)
    assert any(line.startswith("arc_challenge acc_norm, % 200") and line.count(" ± ") == 2 for line in shown)
    assert any(line.startswith("clean items 191") for line in shown)
    assert "strong compared with weak" in shown
    assert any(line.startswith("arc_challenge 200 +") and line.endswith("better") for line in shown)
    assert any(line.startswith("hellaswag 200") and line.endswith("cannot be told apart") for line in shown)
    assert not any("†" in line for line in shown)
    assert "No average of weak, strong: MMLU, TQA, Wino, GSM missing." in shown


def test_printed_rows_are_marked_and_their_source_is_named(results: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *results, "--printed"]) == 0
    text = capsys.readouterr().out
    shown = lines(text)
    assert "stablelm-2-1_6b † 43.3 70.5 38.9 36.8 64.6 17.4 45.3" in shown
    assert "phi-2 (aligned) † 61.1 75.1 58.1 44.5 74.4 54.8 61.3" in shown
    assert "† Printed in Stable LM 2 (arXiv 2402.17834), Table 4; not measured here." in " ".join(shown)
    ours = max(number for number, line in enumerate(shown) if line.startswith("strong "))
    assert all(number > ours for number, line in enumerate(shown) if "†" in line), "never between ours"


def test_json_has_everything_and_the_baseline_can_be_named(results: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *results, "--json", "--baseline", "strong", "--printed"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1 and found["baseline"] == 1
    tests = {row["task"]: row["tests"] for row in found["suites"][0]["rows"] if row["main"]}
    assert tests["arc_challenge"][0]["verdict"] == "worse" and tests["arc_challenge"][1] is None
    assert [table["table"] for table in found["printed"]] == ["Table 4"]
    assert main(["compare", *results, "--json", "--baseline", results[1]]) == 0
    again = json.loads(capsys.readouterr().out)
    assert "printed" not in again and again["suites"] == found["suites"]


def test_every_metric_is_shown_when_asked(results: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *results]) == 0
    assert "bits_per_byte" not in capsys.readouterr().out
    assert main(["compare", *results, "--every-metric"]) == 0
    assert "bits_per_byte ↓" in capsys.readouterr().out


def test_a_page_is_written(results: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "pages" / "compare.html"
    assert main(["compare", *results, "--html", str(page)]) == 0
    assert page.read_text().startswith("<!doctype html>") and f"written: {page}" in capsys.readouterr().out


def test_one_model_alone_is_shown_without_tests(results: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", results[0]]) == 0
    text = capsys.readouterr().out
    assert "compared with" not in text and "McNemar" not in text


def test_wrong_calls_say_what_to_give(results: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert main(["compare", *results, "--baseline", "other"]) == 2
    assert "must be one of the models (weak, strong)" in capsys.readouterr().err


def test_an_incomplete_result_is_marked(write_result: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_result(tmp_path, "choices", "cut", {"piqa": 0.5}, complete=False, stopped_by="NaN logits")
    assert main(["compare", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "cut (incomplete)" in text and "cut: incomplete (stopped: NaN logits)" in text


def test_of_many_tests_the_first_are_printed_and_the_average_too(
    write_result: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ("hellaswag", "openbookqa", "winogrande", "arc_challenge", "arc_easy", "boolq", "piqa")
    tasks = dict.fromkeys((*columns, *(f"more{n}" for n in range(30))), 0.5)
    for label in "ab":
        write_result(tmp_path / label, "tinyllama_commonsense", label, tasks, items=20 if label == "a" else 18)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    shown = lines(capsys.readouterr().out)
    assert any(line.startswith("Avg (average) 126 ") for line in shown)
    assert "and 7 more tests; --html FILE and --json show all" in shown
    assert any(line.startswith("piqa acc, % 20 / 18 ") for line in shown)
