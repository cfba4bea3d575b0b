import pytest

from pellucid.evals.needle.needles import draw_needles, score


def test_needles_are_drawn_by_seed_and_number_and_each_question_leaves_the_facts_out() -> None:
    drawn = [draw_needles(1, number, 3, "") for number in range(40)]
    assert drawn == [draw_needles(1, number, 3, "") for number in range(40)]
    assert draw_needles(2, 0, 3, "") != drawn[0]
    assert len({needle.sentence for needle, _ in drawn}) == 40
    for needle, others in drawn:
        assert score(needle.sentence, needle.facts) == {"exact": 1, "recall": 1}
        assert score(needle.question, needle.facts) == {"exact": 0, "recall": 0}
        assert len(set(others)) == 3
        assert all(score(other, needle.facts) == {"exact": 0, "recall": 0} for other in others)


def test_a_number_of_the_haystack_is_not_drawn() -> None:
    taken = draw_needles(1, 0, 0, "")[0].facts[1]
    assert draw_needles(1, 0, 0, f"It was {taken} miles.")[0].facts[1] != taken


@pytest.mark.parametrize(
    ("answer", "exact", "recall"),
    [
        ("It is COMET, and the number is 60,317.", 1, 1),
        ("comet 60 317", 1, 1),
        ("comet and 60.317", 1, 1),
        ("Comet.", 0, 0.5),
        ("comets 603170", 0, 0),
        ("1,060,317 and comet", 0, 0.5),
        ("", 0, 0),
        ("60317", 0, 0.5),
    ],
)
def test_facts_are_compared_as_whole_words_whatever_their_case_and_separators(answer: str, exact: int, recall: float) -> None:
    assert score(answer, ("comet", "60317")) == {"exact": exact, "recall": recall}


def test_a_fact_of_several_words_is_exact_only_in_its_order() -> None:
    fact = ("eat a sandwich",)
    assert score("You should EAT a  sandwich there", fact) == {"exact": 1, "recall": 1}
    assert score("a sandwich to eat", fact) == {"exact": 0, "recall": 1}
