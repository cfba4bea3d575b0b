import pytest

from pellucid.evals.reflection.arithmetic import problem
from pellucid.evals.reflection.plant import plant
from pellucid.evals.reflection.prompts import CONDITIONS
from pellucid.evals.reflection.scoring import effects, from_answer, from_likelihoods
from pellucid.evals.results import Record
from pellucid.evals.subject import Answer, Likelihood

PLANTED = plant(problem(5), 1)


@pytest.mark.parametrize(("nats", "prefers"), [((2.0, 5.0), 1.0), ((5.0, 2.0), 0.0), ((2.0, 2.0), 0.5)])
def test_the_likelier_way_is_preferred(nats: tuple[float, float], prefers: float) -> None:
    scores, details = from_likelihoods(Likelihood(nats[0], 7, False), Likelihood(nats[1], 8, True), CONDITIONS[1])
    assert scores == {"prefers_right_error": prefers, "margin_nats_error": nats[1] - nats[0]}
    assert details["wrong_tokens_error"] == 8


@pytest.mark.parametrize(
    ("text", "right", "carried", "speaks"),
    [
        (" it should be 292. The answer is 46.", 1, 0, 1),
        ("\nPages still to read: 289 - 246 = 43.\nThe answer is 43.", 0, 1, 0),
        (" I do not know", 0, 0, 0),
    ],
)
def test_what_is_written_is_compared_with_both_answers(text: str, right: int, carried: int, speaks: int) -> None:
    scores, details = from_answer(PLANTED, Answer(text, "stop", 5, 5), CONDITIONS[0])
    assert scores == {
        "final_right_error_trigger": right, "carried_on_error_trigger": carried, "speaks_of_error_error_trigger": speaks,
    }  # fmt: skip
    assert details["text_error_trigger"] == text


def test_effects_are_paired_over_items() -> None:
    def record(number: int, error_trigger: float, error: float, right: float) -> Record:
        scores = {"final_right_error_trigger": error_trigger, "final_right_error": error, "final_right_right": right}
        return Record("t", str(number), scores)

    records = [record(number, number % 2, 0, 1) for number in range(40)]
    found = effects(records, 1)["final_right"]
    assert found["trigger"]["value"] == 0.5 and found["trigger"]["low"] > 0.3 and found["trigger"]["p"] < 0.001
    assert found["error"]["value"] == -1 and found["error"]["stderr"] == 0
    assert set(found) == {"trigger", "error"}  # the condition right_trigger was not scored
    assert effects([], 1) == {}
