import pytest

from pellucid.report.study.numbers import RELATIVE, difference, ends, interval, length_name, number, percents, rate, signed, yes_no


def test_numbers_have_a_true_minus_and_nothing_has_no_sign() -> None:
    assert [number(value, 2) for value in (0.5, -0.5, -0.001, None)] == ["0.50", "−0.50", "0.00", "–"]
    assert [signed(value, 2) for value in (0.014, -0.014, 0.004, -0.004, 0.0)] == ["+0.01", "−0.01", "0.00", "0.00", "0.00"]
    assert (signed(1.5), signed(None)) == ("+1.5000", "–")


def test_an_interval_is_written_where_there_is_one() -> None:
    assert interval([1.93249, 1.8711, 1.9954]) == "1.932 [1.871, 1.995]"
    assert interval([-0.5, None, None]) == "−0.500"
    assert interval([None, 1.0, 2.0]) == "–"
    assert interval([1.5, None, 2.0]) == "1.500 [open, 2.000]"
    assert interval([1.5, 1.0, None], "{:.0f} tokens".format) == "2\u00a0tokens [1\u00a0tokens, open]"
    assert difference([0.0043, -0.001, 0.0096]) == "+0.0043 [−0.0010, +0.0096]"


def test_the_ends_of_a_row_are_taken_by_its_keys_and_scaled() -> None:
    row = {"value": 0.25, "low": None, "high": 0.5, "relative": 0.01, "relative_low": -0.005, "relative_high": None}
    assert ends(row) == [0.25, None, 0.5]
    assert ends(row, RELATIVE, 100) == [1.0, -0.5, None]


def test_percents_are_what_can_be_drawn() -> None:
    row = {"relative": 0.01, "relative_low": -0.005, "relative_high": None}
    assert percents(row) == (1.0, -0.5, None)
    assert percents(None) is percents({"relative": None}) is percents({"level": "the baseline"}) is None


@pytest.mark.parametrize(("value", "text"), [(0.000113, "1.13e-4"), (1.5e-4, "1.50e-4"), (0.004, "4.00e-3"), (9.999e-5, "1.00e-4")])
def test_rates_are_written_as_reports_print_them(value: float, text: str) -> None:
    assert rate(value) == text and float(text) == pytest.approx(value, rel=5e-3)
    assert rate(1.5e-4, 2) == "1.5e-4"


def test_yes_no_and_lengths_are_words() -> None:
    assert (yes_no(True), yes_no(False), yes_no(None)) == ("yes", "no", "–")
    assert (length_name(None), length_name("2M")) == ("its only length", "2M")
