from pathlib import Path

import orjson
import pytest

from pellucid.verify.texts import is_text_of


def test_numbers_of_a_real_report_are_what_their_values_give_but_for_those_worked_out_from_more(finished_run: Path) -> None:
    numbers = orjson.loads((finished_run / "report" / "numbers.json").read_bytes())["numbers"]
    other = [one for one in numbers if not is_text_of(one["text"], one["value"])]
    assert len(numbers) > 200
    # In "Plan against what happened" a figure is put into the unit of the one that was forecast.
    assert all(one["file"].endswith(("/metrics.jsonl", "/manifest.json", "account/account.json")) for one in other), [
        one["file"] + " " + one["text"] for one in other
    ]
    assert len(other) < 20


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("11.6 t", 11550, True),
        ("0.001 kg", 11550, False),
        ("yes", True, True),
        ("no", True, False),
        ("1 h 02 min", 3725 / 3600, True),
        ("causal", "causal", True),
        ("caus", "causal", False),
        ("a long na…", "a long name of a model", True),
        ("a long mo…", "a long name of a model", False),
        ("8.3 %", 1 / 12, True),
        ("10000", 10000.0, True),
        ("0", float("nan"), False),
        ("None", None, True),
    ],
)
def test_a_text_is_of_a_value_when_a_format_shows_it_so(text: str, value: object, holds: bool) -> None:
    assert is_text_of(text, value) is holds
