import json
import re
from collections import Counter
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.errors import EndpointError, UsageError
from pellucid.evals.mt_bench.run import SINGLE, run
from pellucid.evals.results import Records, summarise
from pellucid.evals.subject import Setting
from pellucid.recipe.suites import MTBenchConfig

CONFIG = MTBenchConfig(answer_tokens=8, together=2)
BENCH = Path(__file__).resolve().parents[4] / "shared/data/bench"


def graded(path, subject, judge, data, config=CONFIG, **fields):
    with Records(path) as records:
        facts = run(subject, config, Setting(data=str(data), judge=judge, **fields), records)
        return facts, list(records)


def test_a_real_model_is_graded_and_the_tables_are_those_of_the_ratings(llama, open_at, make_judge, bench_data, tmp_path, rules):
    judge, server = make_judge(usd_per_million_prompt_tokens=1.0, usd_per_million_new_tokens=2.0)
    facts, records = graded(tmp_path / "a.jsonl", open_at(llama), judge, bench_data)
    answers = {
        record.item: [turn["text"] for turn in record.details["turns"]] for record in records if record.task.endswith("answers")
    }
    assert len(answers) == 5
    expected = [rules["rating_of"](text) for texts in answers.values() for text in texts]
    assert facts["mean"]["overall"] == pytest.approx(sum(expected) / 10)
    assert facts["mean"]["turn_2"] == pytest.approx(sum(expected[1::2]) / 5)
    tables = summarise(records, 1)
    assert tables[SINGLE]["metrics"]["rating"]["value"] == pytest.approx(facts["mean"]["overall"])
    assert tables[SINGLE]["groups"]["math"]["metrics"]["turn_1"]["value"] == rules["rating_of"](answers["2"][0])
    assert tables["mt_bench.answers"]["metrics"] == {}
    assert (facts["unjudged_turns"], facts["answers_stopped_by"]) == (0, {"length": 10})
    assert facts["spent"]["judge"] == {"prompt_tokens": 1000, "new_tokens": 100, "cost_usd": pytest.approx(0.0012)}
    assert facts["spent"]["model"]["new_tokens"] == 80
    assert (facts["judged_by_reference"], facts["without_their_reference"]) == (1, 1)
    assert facts["judge"]["model"] == "ruler"
    references = [body for _, _, body in server.seen if "It is 8." in body["messages"][-1]["content"]]
    assert len(references) == 1


def test_the_second_turn_sees_the_first_answer_and_categories_have_their_temperature(make_judge, bench_data, tmp_path):
    model, asked = make_judge(lambda prompt, body: f"{len(body['messages'])} at {body['temperature']}")
    judge, _ = make_judge()
    _, records = graded(tmp_path / "a.jsonl", model, judge, bench_data)
    texts = {
        record.item: [turn["text"] for turn in record.details["turns"]] for record in records if record.task.endswith("answers")
    }
    assert texts == {item: [f"1 at {heat}", f"3 at {heat}"] for item, heat in zip("12345", (0.7, 0.0, 0.1, 0.0, 0.7), strict=True)}
    second = next(body for _, _, body in asked.seen if len(body["messages"]) == 3 and "Sort" in body["messages"][0]["content"])
    assert second["messages"][1] == {"role": "assistant", "content": "1 at 0.0"}


def test_a_judge_that_dies_loses_nothing_and_a_rerun_asks_only_for_the_rest(llama, open_at, make_judge, bench_data, tmp_path):
    whole, _ = graded(tmp_path / "whole.jsonl", open_at(llama), make_judge()[0], bench_data)
    judge, server = make_judge(attempts=2)
    alive = server.behind
    judgements = Counter()

    def dies(path, body):
        judgements[path] += 1
        return (503, {"error": "gone"}) if judgements[path] > 4 else alive(path, body)

    server.behind = dies
    model = open_at(llama)
    with pytest.raises(EndpointError, match=r"no answer after 2 attempts.*status 503: .*gone.*run the same command again"):
        graded(tmp_path / "a.jsonl", model, judge, bench_data)
    assert model.usage.requests == 10
    again, (judge, server) = open_at(llama), make_judge()  # a server of its own: the dead one may still get what was on its way
    facts, _ = graded(tmp_path / "a.jsonl", again, judge, bench_data)
    assert again.usage.requests == 0
    assert len(server.seen) == 6  # 2 of 5 questions were judged
    assert facts["mean"] == whole["mean"]
    assert facts["spent"] == whole["spent"]


class Dying:
    """A real subject that dies after some calls."""

    def __init__(self, subject, calls):
        self.subject, self.left = subject, calls
        self.label, self.identity, self.context_tokens = subject.label, subject.identity, subject.context_tokens

    @property
    def usage(self):
        return self.subject.usage

    def chat(self, *arguments, **named):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("killed")
        return self.subject.chat(*arguments, **named)


def test_a_model_that_dies_keeps_its_answers(llama, open_at, make_judge, bench_data, tmp_path):
    whole, _ = graded(tmp_path / "whole.jsonl", open_at(llama), make_judge()[0], bench_data)
    with pytest.raises(RuntimeError, match="killed"):
        graded(tmp_path / "a.jsonl", Dying(open_at(llama), 3), make_judge()[0], bench_data)
    again = open_at(llama)
    facts, _ = graded(tmp_path / "a.jsonl", again, make_judge()[0], bench_data)
    assert again.usage.requests == 6  # the two coding and math questions were answered
    assert facts["mean"] == whole["mean"]


def test_nonsense_is_asked_for_again_and_then_counted_not_averaged(llama, open_at, make_judge, bench_data, tmp_path, rules):
    def moody(prompt, body):
        if "twice that" in prompt:
            return "I would rather not say. [[99]]"
        if "Write about rain" in prompt and body["temperature"] == 0:
            return "hm"
        return "[[6]]"

    judge, server = make_judge(moody)
    facts, records = graded(tmp_path / "a.jsonl", open_at(llama), judge, bench_data)
    assert facts["unjudged_turns"] == 1
    assert facts["mean"] == {"turn_1": 6, "turn_2": 6, "overall": 6}
    table = summarise(records, 1)[SINGLE]
    assert table["groups"]["math"]["metrics"].keys() == {"rating", "turn_1"}
    turn = next(record for record in records if (record.task, record.item) == (SINGLE, "2")).details["turns"][1]
    assert (turn["rating"], turn["asked"], turn["words"]) == (None, 3, "I would rather not say. [[99]]")
    assert len(server.seen) == 10 + 2 + 2
    graded(tmp_path / "a.jsonl", open_at(llama), judge, bench_data)
    assert len(server.seen) == 14  # what stays unjudged is not asked for ever


def test_who_reads_the_table_is_told_what_is_in_no_mean(llama, make_judge, bench_data, tmp_path, capsys):
    _, server = make_judge(lambda prompt, body: "hm" if "twice that" in prompt else "[[6]]")
    call = ["evaluate", llama, "--suite", "mt_bench", "--data-dir", str(bench_data), "--judge", server.url, "--out", str(tmp_path)]
    assert main([*call, "--set", "mt_bench.answer_tokens=8"]) == 0
    said = capsys.readouterr().out
    assert "in no mean, as the judge gave no verdict: 1 (its answers: 1 × no verdict)" in said and "turn_2" in said


def test_a_judge_without_room_gives_no_verdicts_and_is_not_asked_again(llama, open_at, make_judge, bench_data, tmp_path):
    judge, server = make_judge()
    server.behind = lambda path, body: (400, {"error": "maximum context length is 5 tokens"})
    facts, _ = graded(tmp_path / "a.jsonl", open_at(llama), judge, bench_data)
    assert (facts["unjudged_turns"], facts["no_verdict"], len(server.seen)) == (10, {"too long": 10}, 10)


def test_a_real_model_that_knows_nothing_is_a_judge_without_verdicts(llama, open_at, bench_data, tmp_path):
    small = MTBenchConfig(answer_tokens=8, judge_attempts=1)
    facts, records = graded(tmp_path / "a.jsonl", open_at(llama), open_at(llama), bench_data, small, limit=1)
    assert (facts["unjudged_turns"], facts["mean"]) == (2, {})
    assert summarise(records, 1)[SINGLE]["metrics"] == {}


def test_pairs_are_asked_in_both_orders_and_the_longer_answer_wins(llama, open_at, make_judge, bench_data, tmp_path):
    talker, _ = make_judge(lambda prompt, body: "word " * 30, name="talker")
    judge, server = make_judge()
    graded(tmp_path / "other" / "mt_bench.jsonl", talker, judge, bench_data)
    server.seen.clear()
    config = CONFIG.model_copy(update={"mode": "pairwise", "against": str(tmp_path / "other")})
    facts, records = graded(tmp_path / "a.jsonl", open_at(llama), judge, bench_data, config)
    assert len(server.seen) == 20
    assert (facts["wins"], facts["ties"], facts["losses"]) == (0, 0, 10)
    table = summarise(records, 1)["mt_bench.pairwise:talker"]["metrics"]
    assert (table["win_rate"]["value"], table["agreement"]["value"]) == (0, 1)
    back = config.model_copy(update={"against": str(tmp_path / "a.jsonl")})
    facts, _ = graded(tmp_path / "other" / "mt_bench.jsonl", talker, judge, bench_data, back)
    assert facts["wins"] == 10


def test_a_judge_that_likes_what_comes_first_makes_ties(llama, open_at, make_judge, bench_data, tmp_path):
    graded(tmp_path / "other.jsonl", open_at(llama), make_judge()[0], bench_data)
    config = CONFIG.model_copy(update={"mode": "pairwise", "against": str(tmp_path / "other.jsonl")})
    judge, _ = make_judge(lambda prompt, body: "My verdict: [[A]]")
    facts, records = graded(tmp_path / "a.jsonl", open_at(llama), judge, bench_data, config)
    assert (facts["ties"], facts["preferred_what_came_first"], facts["preferred_what_came_second"]) == (10, 10, 0)
    table = summarise(records, 1)["mt_bench.pairwise:tiny"]["metrics"]
    assert (table["win_rate"]["value"], table["agreement"]["value"]) == (0.5, 0)


def test_what_is_missing_is_said_before_anything_is_asked(llama, open_at, make_judge, bench_data, tmp_path):
    model, judge = open_at(llama), make_judge()[0]
    with pytest.raises(UsageError, match=r"mt_bench: no judge.*--judge URL"):
        graded(tmp_path / "a.jsonl", model, None, bench_data)
    with pytest.raises(UsageError, match=r"pairwise needs mt_bench\.against"):
        graded(tmp_path / "a.jsonl", model, judge, bench_data, MTBenchConfig(mode="pairwise"))
    assert model.usage.requests == 0


def test_verdicts_of_two_judges_are_not_mixed(llama, open_at, make_judge, bench_data, tmp_path):
    graded(tmp_path / "a.jsonl", open_at(llama), make_judge()[0], bench_data, limit=2)
    with pytest.raises(UsageError, match=r"judge milder, but the mt_bench\.judgements that are already there are by ruler"):
        graded(tmp_path / "a.jsonl", open_at(llama), make_judge(name="milder")[0], bench_data)


def test_the_key_is_in_no_record_and_no_fact(llama, open_at, make_judge, bench_data, tmp_path, monkeypatch):
    secret = "sk-very-secret-0123456789"
    monkeypatch.setenv("JUDGE_KEY", secret)
    judge, server = make_judge(lambda prompt, body: f"[[7]] your key is {secret}", key_variable="JUDGE_KEY")
    facts, _ = graded(tmp_path / "a.jsonl", open_at(llama), judge, bench_data)
    assert server.seen[0][1]["Authorization"].endswith(secret)
    assert secret not in json.dumps(facts) + (tmp_path / "a.jsonl").read_text()
    assert facts["mean"]["overall"] == 7


@pytest.mark.skipif(not (BENCH / "mtbench").is_dir(), reason="needs MT-Bench's questions")
def test_the_published_questions_go_through_with_their_own_prompts(llama, open_at, make_judge, tmp_path):
    judge, server = make_judge(lambda prompt, body: "[[5]]")
    facts, records = graded(tmp_path / "a.jsonl", open_at(llama), judge, BENCH, CONFIG.model_copy(update={"together": 40}))
    assert (facts["questions"], facts["judged_by_reference"], facts["judge"]["prompts"]) == (80, 30, "data")
    assert Counter(record.group for record in records if record.task == SINGLE) == dict.fromkeys(
        ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"), 10
    )
    assert not any(
        re.search(r"\{(question|answer|ref_answer)(_\d)?\}", body["messages"][-1]["content"]) for _, _, body in server.seen
    )
