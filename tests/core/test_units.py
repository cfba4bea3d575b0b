import pytest

from pellucid.core.units import (
    format_bytes,
    format_carbon,
    format_count,
    format_duration,
    format_energy,
    format_few,
    format_rate,
    utf8_bytes,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_644_515_328, "1.64 B"),
        (2.01e12, "2.01 T"),
        (0.1234, "0.123"),
        (8192, "8.19 k"),
        (999_400, "999 k"),
        (999_600, "1 M"),
    ],
)
def test_counts(number: float, text: str) -> None:
    assert format_count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(5, "5 B"), (1536, "1.5 KiB"), (3 * 2**30, "3 GiB"), (1_060_000_000, "1011 MiB"), (999 * 2**20, "999 MiB")]
)
def test_sizes(number: float, text: str) -> None:
    assert format_bytes(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.23, "1.2 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3725, "1 h 02 min"), (200_000, "2 d 07 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("text", ["", "plain", "Größe", "日本語", "\U0001f680"])
def test_the_bytes_of_a_text_are_those_of_its_encoding(text: str) -> None:
    assert utf8_bytes(text) == len(text.encode())


@pytest.mark.parametrize(
    ("number", "shown"), [(0.01234, "0.0123"), (17.72, "17.7"), (99.96, "100"), (100.4, "100"), (1234.4, "1234")]
)
def test_a_rate_has_three_digits_or_is_whole(number: float, shown: str) -> None:
    assert format_rate(number) == shown


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.0000123, "0.0000123"),
        (0.09999, "0.100"),
        (12.34, "12.3"),
        (99.96, "100"),
        (92_000, "92\u202f000"),
        (-1.5, "-1.50"),
    ],
)
def test_figures_of_three_digits_in_full(number: float, text: str) -> None:
    assert format_few(number) == text


@pytest.mark.parametrize(
    ("kwh", "text"),
    [(0, "0 Wh"), (6.9e-6, "6.90 mWh"), (0.0034, "3.40 Wh"), (1.5, "1.50 kWh"), (30_000, "30.0 MWh"), (2.5e6, "2.50 GWh")],
)
def test_energy(kwh: float, text: str) -> None:
    assert format_energy(kwh) == text


@pytest.mark.parametrize(
    ("kg", "text"), [(0, "0 g"), (1.7e-5, "17.0 mg"), (0.0012, "1.20 g"), (3.0, "3.00 kg"), (11_550, "11.6 t"), (173_000, "173 t")]
)
def test_carbon(kg: float, text: str) -> None:
    assert format_carbon(kg) == text
