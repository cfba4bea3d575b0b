from pellucid.evals.mt_bench.answers import answer_texts, write_answers
from pellucid.evals.mt_bench.data import Question
from pellucid.evals.results import Records
from pellucid.evals.subject import Setting
from pellucid.recipe.suites import MTBenchConfig


def test_a_conversation_that_outgrows_the_context_is_kept_and_says_so(llama, open_at, tmp_path):
    questions = [Question("1", "writing", ("short", "word " * 3000), 0.0), Question("2", "writing", ("only one turn",), 0.0)]
    with Records(tmp_path / "a.jsonl") as records:
        write_answers(open_at(llama), questions, MTBenchConfig(answer_tokens=4), Setting(), records)
        turns = records.get("mt_bench.answers", "1").details["turns"]
        assert [turn["stopped_by"] for turn in turns] == ["length", "context"]
        assert turns[1]["text"] == ""
        assert turns[1]["prompt_tokens"] > 2048
        assert records.get("mt_bench.answers", "2").text == "only one turn"
        assert len(answer_texts(records, questions[1])) == 1


def test_answers_do_not_depend_on_what_is_asked_with_them(llama, open_at, tmp_path):
    questions = [Question(str(number), "writing", (f"number {number}", "again"), 0.7) for number in range(5)]
    texts = []
    for together in (1, 5):
        with Records(tmp_path / f"{together}.jsonl") as records:
            write_answers(open_at(llama), questions, MTBenchConfig(answer_tokens=6, together=together), Setting(), records)
            texts.append([answer_texts(records, question) for question in questions])
    assert texts[0] == texts[1]
