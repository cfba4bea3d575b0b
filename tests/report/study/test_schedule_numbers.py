import pytest

from pellucid.report.study.schedule_numbers import interval, length_name, number, percents, rate, signed


def test_differences_have_their_sign_and_nothing_has_none() -> None:
    assert [signed(value, 2) for value in (0.014, -0.014, 0.004, -0.004, 0.0)] == ["+0.01", "−0.01", "0.00", "0.00", "0.00"]
    assert [number(value, 2) for value in (0.5, -0.5, -0.001, None)] == ["0.50", "−0.50", "0.00", None]


def test_an_interval_is_written_where_there_is_one() -> None:
    assert interval([0.0043, -0.001, 0.0096]) == "+0.0043 [−0.0010, +0.0096]"
    assert interval([0.0043, None, None], 2, 100) == "+0.43"
    assert interval([None, None, None]) is None


def test_percents_are_what_can_be_drawn() -> None:
    row = {"relative": 0.01, "relative_low": -0.005, "relative_high": None}
    assert percents(row) == (1.0, -0.5, None)
    assert percents(None) is percents({"relative": None}) is percents({"level": "the baseline"}) is None


@pytest.mark.parametrize(("value", "text"), [(0.000113, "1.13e-4"), (1.5e-4, "1.50e-4"), (0.004, "4.00e-3"), (9.999e-5, "1.00e-4")])
def test_rates_are_written_as_reports_print_them(value: float, text: str) -> None:
    assert rate(value) == text and float(text) == pytest.approx(value, rel=5e-3)
    assert rate(1.5e-4, 2) == "1.5e-4"


def test_a_study_without_lengths_has_its_only_length() -> None:
    assert (length_name(None), length_name("2M")) == ("its only length", "2M")
