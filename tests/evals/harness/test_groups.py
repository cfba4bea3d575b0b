import pytest

from pellucid.evals.harness.groups import GROUPS, LANGUAGES
from pellucid.evals.suites import SUITES


def test_each_group_is_a_suite_of_its_name() -> None:
    assert all(SUITES[name].module == f"harness.run:{name}" == f"harness.run:{group.name}" for name, group in GROUPS.items())


def test_the_reports_numbers_of_examples() -> None:
    shots = {name: {each.name: each.fewshot for each in group.benchmarks} for name, group in GROUPS.items()}
    assert shots["open_llm"] == {
        "arc_challenge": 25, "hellaswag": 10, "mmlu": 5, "truthfulqa_mc2": 0, "winogrande": 5, "gsm8k": 5,
    }  # fmt: skip
    assert shots["instruct_eval"] == {"mmlu": 5, "bbh": 3, "drop": 3}
    assert set(shots["tinyllama_commonsense"].values()) == set(shots["multilingual"].values()) == {0}
    assert len(shots["tinyllama_commonsense"]) == 7


def test_parts_count_alike_where_the_reports_evaluator_has_it_so() -> None:
    alike = {(name, each.name) for name, group in GROUPS.items() for each in group.benchmarks if each.over_parts}
    assert alike == {("open_llm", "mmlu"), ("instruct_eval", "bbh")}


def test_languages_are_english_and_the_six() -> None:
    for benchmark in GROUPS["multilingual"].benchmarks:
        assert [member.part for member in benchmark.members] == ["en", *LANGUAGES]


def test_the_harness_has_every_member_and_the_printed_metric() -> None:
    pytest.importorskip("lm_eval")
    from pellucid.evals.harness.catalogue import configurations

    counts = {}
    for group in GROUPS.values():
        for benchmark in group.benchmarks:
            configs = [one for each in benchmark.members for one in configurations(each.folder or benchmark.folder, each.task)]
            counts[benchmark.name] = len(configs)
            for config in configs:
                metric, _, of_filter = str(benchmark.metric).partition(",")
                assert metric in {each["metric"] for each in config["metric_list"]}, config["task"]
                assert not of_filter or of_filter in {each["name"] for each in config["filter_list"]}
                own = config.get("num_fewshot")
                assert own is None or own == benchmark.fewshot, config["task"]
    assert (counts["mmlu"], counts["bbh"], counts["arc_multilingual"], counts["gsm8k"]) == (57, 27, 7, 1)
