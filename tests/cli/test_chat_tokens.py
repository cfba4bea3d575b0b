import math

from pellucid.cli.answering import Segment
from pellucid.cli.chat_tokens import percent, shade, tokens_text

SEGMENTS: list[Segment] = [
    ("The", math.log(0.9), [("The", math.log(0.9)), (" A", math.log(0.05)), ("\n", math.log(0.02))], 1),
    (" cat", math.log(0.004), [(" dog", math.log(0.6)), (" cow", math.log(0.3))], 1),
    ("語", math.log(0.1), [], 3),
    ("\x1b[2J", math.log(0.3), [], 1),
    ("…", None, [], 0),
]


def test_every_token_has_a_line_with_what_else_was_likely() -> None:
    lines = tokens_text(SEGMENTS).plain.splitlines()
    assert lines[0] == "The cat語␛[2J…"
    assert [line.split() for line in lines[2:4]] == [
        ["1", "The", "90.0", "%", "␣A", "5.0", "%", "↵", "2.0", "%"],
        ["2", "␣cat", "0.4", "%", "␣dog", "60.0", "%", "␣cow", "30.0", "%"],
    ]
    assert "3 tokens make this character; together" in lines[4]
    total = math.log(0.9) + math.log(0.004) + math.log(0.1) + math.log(0.3)
    assert lines[-1] == f"6 tokens, perplexity {math.exp(-total / 6):.2f}"
    assert len(lines) == 2 + 4 + 1


def test_the_unlikeliest_are_shown_in_the_order_of_the_text() -> None:
    lines = tokens_text(SEGMENTS, 2).plain.splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == ["2", "3"]


def test_a_narrow_terminal_gets_fewer_others_and_none_is_cut() -> None:
    lines = tokens_text(SEGMENTS, columns=40).plain.splitlines()
    assert lines[3].endswith("␣dog 60.0 %") and max(map(len, lines[2:4])) <= 40


def test_shades_are_those_of_the_page() -> None:
    assert [shade(math.log(p)) for p in (1.0, 0.5, 0.49, 0.19, 0.049, 0.0099)] == [0, 0, 1, 2, 3, 4]
    assert [percent(math.log(p)) for p in (1.0, 0.1234, 0.0005)] == ["100.0 %", "12.3 %", "< 0.1 %"]


def test_an_answer_without_tokens_has_no_perplexity() -> None:
    assert tokens_text([("text", None, [], 0)]).plain.strip() == "text"
