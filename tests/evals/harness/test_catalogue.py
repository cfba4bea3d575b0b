import pytest

from pellucid.core.errors import UsageError

pytest.importorskip("lm_eval")

from pellucid.evals.harness.catalogue import configurations, look_up


def test_a_folder_gives_the_tasks_of_a_pattern_with_what_they_include() -> None:
    easy, challenge = configurations("arc", "arc_easy")[0], configurations("arc", "arc_challenge")[0]
    assert (easy["dataset_name"], challenge["dataset_name"]) == ("ARC-Easy", "ARC-Challenge")
    assert challenge["doc_to_text"] == easy["doc_to_text"]  # from the file that it includes
    subjects = configurations("mmlu/default", "mmlu_*")
    assert len(subjects) == 57 and all("group" not in config for config in subjects)
    assert callable(configurations("hellaswag", "hellaswag")[0]["process_docs"])
    with pytest.raises(UsageError, match=r"no task nothing\* in arc"):
        configurations("arc", "nothing*")


def test_names_of_tasks_groups_and_tags_are_looked_up() -> None:
    found = look_up(["winogrande", "mmlu_stem", "openllm"])
    assert [config["task"] for config in found["winogrande"]] == ["winogrande"]
    stem = [config["task"] for config in found["mmlu_stem"]]
    assert "mmlu_anatomy" in stem and len(stem) == 19
    overridden = {config["task"]: config for config in found["openllm"]}
    assert (overridden["arc_challenge"]["num_fewshot"], overridden["arc_challenge"]["fewshot_split"]) == (25, "train")
    assert {"truthfulqa_mc2", "gsm8k", "mmlu_virology"} <= overridden.keys()


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(UsageError, match="no task, group or tag 'arc_eazy'"):
        look_up(["arc_eazy"])
