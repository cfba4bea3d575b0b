import ast
import gzip
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.code import problems as module
from pellucid.evals.code.problems import choose, load

BENCH = Path(__file__).resolve().parents[4] / "shared/data/bench"
needs_bench = pytest.mark.skipif(not BENCH.is_dir(), reason="no benchmarks here")


def test_humaneval_is_completed_after_its_beginning_and_checked_by_its_own_function(code_data: Path) -> None:
    found = load("humaneval", str(code_data))
    first = found.problems[0]
    assert (first.id, first.entry_point) == ("Own/0", "add_up")
    assert first.prompt.endswith('"""\n')
    assert first.program("    return 0\n", "complete") == first.prompt + "    return 0\n"
    assert first.check.remote == ("add_up",)
    assert first.check.code.endswith("check(add_up)\n")
    assert first.stop == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    assert found.sha256 == module.hashlib.sha256((code_data / "humaneval/HumanEval.jsonl.gz").read_bytes()).hexdigest()


def test_mbpp_shows_three_worked_examples_and_asks_for_the_test_part(code_data: Path) -> None:
    found = load("mbpp", str(code_data))
    assert [problem.id for problem in found.problems] == ["11", "12", "510"], "1 to 10 are for prompts, 511 and more for tuning"
    prompt = found.problems[0].prompt
    assert prompt.count("You are an expert Python programmer, and here is your task: ") == 4
    assert prompt.count("[BEGIN]") == 4
    assert prompt.count("[DONE]") == 3
    assert prompt.endswith("[BEGIN]\n")
    assert re.findall(r"assert f(\d+)\(1\)", prompt) == ["2", "3", "4", "11"]


def test_the_names_that_a_program_must_define_are_read_from_the_tests(code_data: Path) -> None:
    by_id = {problem.id: problem for problem in load("mbpp", str(code_data)).problems}
    assert by_id["11"].check.remote == ("f11",)
    assert by_id["12"].check.remote == ("sum",), "a builtin that the program defines anew"
    assert by_id["510"].check.remote == ("Node", "depth"), "a setup builds the program's objects; math and root are not its own"


def test_a_chat_answer_gives_the_block_that_defines_the_function(code_data: Path) -> None:
    problem = load("humaneval", str(code_data)).problems[0]
    body = "def add_up(xs):\n    return sum(xs)"
    for answer in (
        f"Sure:\n```python\n{body}\n```\nIt adds.",
        f"```\nprint(1)\n```\nthen\n```py\n{body}\n```",
        f"```python\n{body}",  # cut off by the length
        body,
    ):
        program = problem.program(answer, "chat")
        namespace: dict[str, Any] = {}
        exec(program, namespace)
        assert namespace["add_up"]([1, 2]) == 3
    assert problem.program("```python\n    return sum(xs)\n```", "chat") == problem.prompt + "    return sum(xs)"
    assert problem.conversation()[0]["role"] == "user"
    assert "add_up" in problem.conversation()[0]["content"]


def test_a_subset_is_chosen_by_the_seed_whatever_the_order_and_keeps_the_files_order(code_data: Path) -> None:
    found = load("mbpp", str(code_data))
    turned = module.Problems(found.task, tuple(reversed(found.problems)), found.source, found.sha256)
    for seed in range(8):
        chosen = [problem.id for problem in choose(found, 2, seed)]
        assert sorted(chosen) == sorted(problem.id for problem in choose(turned, 2, seed))
        assert chosen == [problem.id for problem in found.problems if problem.id in chosen]
    assert len({tuple(problem.id for problem in choose(found, 1, seed)) for seed in range(20)}) == 3
    assert len(choose(found, None, 1)) == len(choose(found, 99, 1)) == 3


def test_missing_data_says_which_task_where_it_was_looked_for_and_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"mbpp.*looked in {tmp_path}.*mbpp/mbpp.jsonl"):
        load("mbpp", str(tmp_path))
    with pytest.raises(UsageError, match="no --data-dir was given"):
        load("mbpp_sanitized", None)


def test_damaged_data_names_file_and_problem(tmp_path: Path, code_data: Path) -> None:
    rows = gzip.decompress((code_data / "humaneval/HumanEval.jsonl.gz").read_bytes()).decode().splitlines()
    row = json.loads(rows[1])
    del row["test"]
    (tmp_path / "HumanEval.jsonl").write_text("\n".join([rows[0], json.dumps(row)]))
    with pytest.raises(DataError, match=r"HumanEval.jsonl, problem 2.*test"):
        load("humaneval", str(tmp_path))
    (tmp_path / "HumanEval.jsonl").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        load("humaneval", str(tmp_path))
    (tmp_path / "mbpp.jsonl").write_text('{"task_id": 2, "text": "", "code": "", "test_list": []}\n')
    with pytest.raises(DataError, match="no problem 3"):
        load("mbpp", str(tmp_path))


def test_whatever_is_wrong_in_a_file_is_said_with_its_place(tmp_path: Path, code_data: Path) -> None:
    packed = (code_data / "humaneval/HumanEval.jsonl.gz").read_bytes()
    for damaged in (packed[:-20], packed[:40] + bytes(20) + packed[60:], b"no gzip", packed[:20] + b"\xff" * 50):
        (tmp_path / "HumanEval.jsonl.gz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"HumanEval.jsonl.gz cannot be read"):
            load("humaneval", str(tmp_path))
    (tmp_path / "HumanEval.jsonl.gz").unlink()
    rows = gzip.decompress(packed).decode().splitlines()
    (tmp_path / "HumanEval.jsonl").write_text(f"{rows[0]}\n\n{rows[1][:-9]}\n")
    with pytest.raises(DataError, match="line 3"):
        load("humaneval", str(tmp_path))
    for test in ("\0", "(" * 5000):
        (tmp_path / "HumanEval.jsonl").write_text(json.dumps({**json.loads(rows[1]), "test": test}))
        with pytest.raises(DataError, match=r"problem 1 \(task_id Own/1\)"):
            load("humaneval", str(tmp_path))
    lines = (code_data / "mbpp/mbpp.jsonl").read_text().splitlines()
    for changed in ({"test_list": ["assert True"]}, {"code": "x = '\0'"}, {"test_list": []}):
        last = json.loads(lines[-1]) | {"test_setup_code": "", **changed}
        (tmp_path / "mbpp.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]))
        with pytest.raises(DataError, match=r"task_id 510"):
            load("mbpp", str(tmp_path))


@needs_bench
def test_the_published_files_have_the_published_numbers_of_problems() -> None:
    found = {task: load(task, str(BENCH)).problems for task in ("humaneval", "mbpp", "mbpp_sanitized")}
    assert {task: len(problems) for task, problems in found.items()} == {"humaneval": 164, "mbpp": 500, "mbpp_sanitized": 257}
    for problems in found.values():
        for problem in problems:
            ast.parse(problem.reference)
            assert problem.entry_point in problem.check.remote


@needs_bench
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm_eval is not installed")
def test_prompts_and_stop_texts_are_those_of_the_harness() -> None:
    import jinja2
    import yaml

    spec = find_spec("lm_eval")
    assert spec is not None and spec.submodule_search_locations
    tasks = Path(next(iter(spec.submodule_search_locations))) / "tasks"

    def read(name: str) -> dict[str, Any]:
        text = (tasks / name).read_text().replace("!function", "")
        loaded: dict[str, Any] = yaml.safe_load(text)
        return loaded

    mbpp, humaneval = read("mbpp/mbpp.yaml"), read("humaneval/humaneval.yaml")
    rows = {row["task_id"]: row for row in map(json.loads, (BENCH / "mbpp/mbpp.jsonl").read_text().splitlines())}
    question, answer = (jinja2.Template(mbpp[name], keep_trailing_newline=True) for name in ("doc_to_text", "doc_to_target"))
    shown = "".join(question.render(rows[n]) + answer.render(rows[n], is_fewshot=True) + "\n\n" for n in (2, 3, 4))
    for problem in load("mbpp", str(BENCH)).problems[::50]:
        assert problem.prompt == shown + question.render(rows[int(problem.id)])
        assert list(problem.stop) == mbpp["generation_kwargs"]["until"]
    assert list(load("humaneval", str(BENCH)).problems[0].stop) == humaneval["generation_kwargs"]["until"]
