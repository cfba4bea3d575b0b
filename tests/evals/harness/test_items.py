import json
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import DataError

pytest.importorskip("lm_eval")

from pellucid.evals.harness.catalogue import configurations
from pellucid.evals.harness.items import Place, check_labels, documents, metric_name, questions, same_questions, score
from pellucid.evals.harness.model import Requests
from pellucid.evals.harness.tasks import HarnessTask, TaskSource

THINGS = ("mill", "bell", "rope", "lamp")


def load(folder: Path, place: str, name: str, fewshot: int = 0) -> HarnessTask:
    return TaskSource([folder]).load(configurations(place, name)[0], fewshot)


def test_instances_are_those_of_the_harness(bench: Path) -> None:
    ours = [
        instance.args for question in questions(load(bench, "arc", "arc_easy", 3), range(10)) for instance in question.instances
    ]
    task = load(bench, "arc", "arc_easy", 3).task
    task.build_all_requests()
    assert ours == [instance.args for instance in task.instances]


def test_a_later_item_has_the_draw_that_it_has_in_a_complete_run(bench: Path) -> None:
    whole = {question.number: question for question in questions(load(bench, "piqa", "piqa", 3), range(10))}
    some = list(questions(load(bench, "piqa", "piqa", 3), [7, 2]))
    assert [question.number for question in some] == [2, 7]
    for question in some:
        assert question.instances[0].args == whole[question.number].instances[0].args
    assert whole[2].instances[0].args[0] != whole[7].instances[0].args[0]


def test_a_label_that_is_none_of_the_choices_is_named(tmp_path: Path) -> None:
    place = tmp_path / "allenai" / "ai2_arc" / "ARC-Easy"
    place.mkdir(parents=True)
    row: dict[str, Any] = {"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A"}
    rows = [row, {**row, "answerKey": "C"}, row]
    (place / "test.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    loaded = load(tmp_path, "arc", "arc_easy")
    check_labels(loaded, [0, 2])
    with pytest.raises(DataError, match=r"task arc_easy: .*test\.jsonl, line 2: the label is none of the choices"):
        check_labels(loaded, [0, 1, 2])
    place = tmp_path / "Rowan" / "hellaswag"
    place.mkdir(parents=True)
    item = {"activity_label": "x", "ctx_a": "a.", "ctx_b": "b", "endings": ["1", "2"]}
    (place / "validation.jsonl").write_text("".join(json.dumps({**item, "label": label}) + "\n" for label in ("0", "2")))
    with pytest.raises(DataError, match=r"validation\.jsonl, line 2: the label is 2; it must be 0 to 1"):
        check_labels(load(tmp_path, "hellaswag", "hellaswag"), [0, 1])


def test_a_record_holds_what_checks_its_score(stablelm: Any, bench: Path) -> None:
    loaded = load(bench, "arc", "arc_easy")
    asked = [(question, Place("arc_easy", str(question.number), None)) for question in questions(loaded, [0, 5])]
    finished: list[int] = []
    first, second = score(asked, Requests(stablelm.ours, 1), finished.append)
    assert sum(finished) == 8 and (first.item, second.item) == ("0", "5") and first.prompt != second.prompt
    nats, tokens = first.details["nats"], first.details["tokens"]
    assert len(nats) == len(tokens) == 4 and first.details["target"] == 0
    assert first.scores["acc"] == float(min(range(4), key=nats.__getitem__) == 0)
    letters = [len(choice) for choice in documents(loaded)[0]["choices"]["text"]]
    best = min(range(4), key=lambda n: nats[n] / letters[n])
    assert first.scores["acc_norm"] == float(best == 0)


@pytest.mark.parametrize(
    ("place", "name", "text"),
    [
        ("arc", "arc_easy", {"question": "What is a mill?", "choices": [f"it is a {n}" for n in THINGS]}),
        ("piqa", "piqa", {"question": "How is a mill kept?", "choices": ["Dry.", "In the open."]}),
        ("super_glue/boolq", "boolq", {"passage": "A mill.", "question": "is a mill new", "choices": ["no", "yes"]}),
        ("bbh/fewshot", "bbh_fewshot_boolean_expressions", {"question": "not ( True ) is", "answer": "False"}),
        ("mmlu/default", "mmlu_anatomy", {
            "question": "What, in anatomy, is a mill?", "choices": ["one", "two, or so", "three", "four"]}),
        ("truthfulqa", "truthfulqa_mc2", {
            "question": "Does a mill fly?", "choices": ["It does not", "No", "Yes", "It does", "At night"]}),
        ("gsm8k", "gsm8k", {"question": "A mill and 0 more?", "answer": "1 + 0 = 1\n#### 1"}),
    ],
)  # fmt: skip
def test_a_record_holds_the_item_without_examples_and_instructions(
    stablelm: Any, bench: Path, place: str, name: str, text: dict[str, Any]
) -> None:
    (question,) = questions(load(bench, place, name, 2 * (name == "mmlu_anatomy")), [0])
    (record,) = score([(question, Place(name, "0", None))], Requests(stablelm.ours, 1))
    assert record.text == text


def test_filters_are_named_as_the_harness_prints_them() -> None:
    assert metric_name("acc", "none") == "acc" and metric_name("exact_match", "strict-match") == "exact_match,strict-match"


def test_a_text_is_scored_whole(stablelm: Any, bench: Path, harness_samples: Any) -> None:
    """A perplexity task of the harness' kind, made here, as none of its own has data on this machine."""
    import math

    from datasets import Dataset, DatasetDict

    texts = ["The mill and the bell. " * 80, "A rope."]
    config = {
        "task": "texts", "output_type": "loglikelihood_rolling", "test_split": "test", "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "custom_dataset": lambda **_: DatasetDict(test=Dataset.from_list([{"text": text} for text in texts])),
        "num_fewshot": 0,
        "metric_list": [{"metric": name, "aggregation": how, "higher_is_better": False} for name, how in (
            ("word_perplexity", "weighted_perplexity"), ("bits_per_byte", "bits_per_byte"))],
    }  # fmt: skip
    from lm_eval.api.task import ConfigurableTask

    loaded = HarnessTask("texts", ConfigurableTask(config=dict(config)), 0, None, {"source": "here"})
    asked = [(question, Place("texts", str(question.number), None)) for question in questions(loaded, [0, 1])]
    records = list(score(asked, Requests(stablelm.ours, 1)))
    for record, text in zip(records, texts, strict=True):
        nats = record.details["nats"][0]
        assert record.ratios["bits_per_byte"] == pytest.approx((nats / math.log(2), len(text)))
        assert record.ratios["nats of word_perplexity"] == pytest.approx((nats, len(text.split(" "))))
    samples = harness_samples(stablelm.theirs, ConfigurableTask(config=dict(config)))
    for record, sample in zip(records, samples, strict=True):
        assert -record.details["nats"][0] == pytest.approx(sample["resps"][0][0], abs=5e-3)


def test_a_german_item_is_told_by_its_own_question(stablelm: Any, copies: Path) -> None:
    (question,) = questions(load(copies, "okapi/arc_multilingual", "arc_de"), [0])
    (record,) = score([(question, Place("arc_de", "0", None))], Requests(stablelm.ours, 1))
    assert record.text == {"question": "Was ist mill?", "choices": ["eins", "zwei", "drei", "vier"]}


def test_looking_at_items_again_leaves_the_draws_as_they_were(bench: Path) -> None:
    loaded, fresh = (load(bench, "piqa", "piqa", 3) for _ in range(2))
    seen = same_questions(loaded, [2, 5])
    again = {question.number: question for question in questions(loaded, range(10))}
    assert [question.prompt for question in again.values()] == [question.prompt for question in questions(fresh, range(10))]
    assert [question.prompt for question in seen] == [again[2].prompt, again[5].prompt]
