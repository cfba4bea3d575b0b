import sys
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import MissingExtraError, UsageError
from pellucid.evals.harness.model import Requests, decoding_of, need_lm_eval, subject_lm
from pellucid.evals.subject import Decoding

pytest.importorskip("lm_eval")

from pellucid.evals.harness.catalogue import configurations
from pellucid.evals.harness.tasks import TaskSource


def test_requests_of_tasks_become_decodings() -> None:
    assert decoding_of({}) == Decoding(max_new_tokens=256)
    gsm8k = {"until": ["Question:", "</s>", ""], "do_sample": False, "temperature": 0.0}
    assert decoding_of(gsm8k) == Decoding(stop=("Question:", "</s>"))
    assert decoding_of({"until": "\n\n", "max_gen_toks": 32, "do_sample": False, "temperature": 0.7}) == Decoding(
        32, stop=("\n\n",)
    )
    sampled = {"max_tokens": 9, "max_new_tokens": 8, "temperature": 0.7, "top_p": 0.9, "top_k": 40}
    assert decoding_of(sampled) == Decoding(8, 0.7, 40, 0.9)
    with pytest.raises(UsageError, match="temperature -1"):
        decoding_of({"temperature": -1})


def test_requests_agree_with_the_harness_normal_form() -> None:
    from lm_eval.models.utils import normalize_gen_kwargs

    for settings in (
        {"until": ["a"], "max_gen_toks": 7}, {"do_sample": True, "temperature": 0.3}, {"temperature": 0.3},
        {"do_sample": False, "temperature": 0.3}, {"max_completion_tokens": 5, "until": "x"},
    ):  # fmt: skip
        theirs, ours = normalize_gen_kwargs(dict(settings)), decoding_of(settings)
        assert (ours.max_new_tokens, ours.temperature, list(ours.stop)) == (
            theirs["max_gen_toks"], theirs.get("temperature", 0.0), theirs["until"],
        )  # fmt: skip


def test_the_harness_own_evaluator_takes_a_subject(stablelm: Any, bench: Path) -> None:
    from lm_eval.evaluator import evaluate

    def scores(lm: Any) -> dict[str, Any]:
        tasks = {}
        for place, name, shots in (("arc", "arc_easy", 2), ("lambada", "lambada_openai", 0), ("gsm8k", "gsm8k", 2)):
            tasks[name] = TaskSource([bench]).load(configurations(place, name)[0], shots).task
        results: dict[str, Any] = evaluate(lm=lm, task_dict={"tasks": tasks}, limit=4, bootstrap_iters=0)["results"]
        return {name: {key: value for key, value in row.items() if isinstance(value, float)} for name, row in results.items()}

    ours, theirs = scores(subject_lm(stablelm.ours)), scores(stablelm.theirs)
    assert ours.keys() == theirs.keys()
    for name, row in theirs.items():
        assert ours[name] == pytest.approx(row, rel=1e-4)


def test_repeats_are_drawn_with_seeds_of_their_own(stablelm: Any) -> None:
    from lm_eval.api.instance import Instance

    settings = {"until": [], "do_sample": True, "temperature": 1.0, "max_gen_toks": 12}
    one, two = (Instance("generate_until", {}, ("the recipe", settings), 0, metadata=("task", number, 2)) for number in range(2))
    greedy = Instance("generate_until", {}, ("the recipe", {"max_gen_toks": 4}), 0, metadata=("task", 2, 1))
    requests = Requests(stablelm.ours, 1)
    texts = [answer.text for answer in requests.answers([one, one, greedy, two, two])]
    assert len(set(texts)) == 5
    assert [answer.text for answer in requests.answers([two, two])] == texts[3:]
    assert texts[2] == stablelm.ours.complete(["the recipe"], Decoding(4), [0])[0].text


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert need_lm_eval()
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pellucid\[eval\]'"):
        need_lm_eval()
