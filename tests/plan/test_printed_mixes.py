import pytest

from pellucid.plan.printed_mixes import printed_mixes


def test_the_control_is_english_and_code_and_the_columns_are_those_of_the_report() -> None:
    table = printed_mixes()
    control = table.weights_of(table.mixes[0])
    assert sum(weight > 0 for weight in control.values()) == 3
    assert sum(control.values()) == pytest.approx(0.9888)
