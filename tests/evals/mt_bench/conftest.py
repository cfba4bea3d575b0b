"""Questions of our own in MT-Bench's layout, and a judge behind a real HTTP server that grades by a rule one can recompute."""

import json
import re

import pytest

QUESTIONS = [
    {"question_id": 1, "category": "writing", "turns": ["Write about rain.", "Now shorter."]},
    {"question_id": 2, "category": "math", "turns": ["What is 2 + 2?", "And twice that?"]},
    {"question_id": 3, "category": "stem", "turns": ["Why is the sky blue?", "And at night?"]},
    {"question_id": 4, "category": "coding", "turns": ["Sort a list.", "Without sort()."]},
    {"question_id": 5, "category": "roleplay", "turns": ["You are a {pirate}.", "Go on."]},
]
REFERENCES = [{"question_id": 2, "choices": [{"turns": ["It is 4.", "It is 8."]}]}]


@pytest.fixture
def bench_data(tmp_path):
    folder = tmp_path / "bench" / "mt_bench"
    write_lines(folder / "question.jsonl", QUESTIONS)
    write_lines(folder / "reference_answer" / "gpt-4.jsonl", REFERENCES)
    return tmp_path / "bench"


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def make_judge(between, open_at):
    """Makes (judge, server): rates an answer by its length, or prefers the longer one, by whatever rule is given for words."""

    def make(words=None, **fields):
        def behind(path, body):
            if path.endswith("/models"):
                return 200, {"data": [{"id": fields.get("name", "ruler")}]}
            text = (words or by_length)(body["messages"][-1]["content"], body)
            usage = {"prompt_tokens": 100, "completion_tokens": 10}
            return 200, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}

        server = between(behind)
        return open_at(server.url, **{name: value for name, value in fields.items() if name != "name"}), server

    return make


def by_length(prompt, body):
    if pair := re.findall(r"[Aa]nswer of (?:assistant )?[AB](?: ===| ---)\n(.*?)\n\n(?====|---)", prompt, re.DOTALL):
        first, second = len(pair[len(pair) // 2 - 1]), len(pair[-1])
        return "[[A]]" if first > second else "[[B]]" if second > first else "[[C]]"
    return f"Some words. Rating: [[{rating_of(asked_about(prompt))}]]"


def asked_about(prompt):
    return re.findall(r"=== (?:Answer|.*to be graded) ===\n(.*)\n\n=== End ===", prompt, re.DOTALL)[0]


def rating_of(answer):
    return 1 + len(answer) % 10


@pytest.fixture
def rules():
    return {"by_length": by_length, "rating_of": rating_of, "asked_about": asked_about}
