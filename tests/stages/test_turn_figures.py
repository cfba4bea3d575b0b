import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.energy import Spent
from pellucid.stages.contestant_process import Turn
from pellucid.stages.turn_figures import Figures, summary, turn_figures


def test_rates_of_sequences_that_overlap_only_in_part() -> None:
    turn = Turn([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 5.0]], 10, 6.0, 3.0, 0, 0)
    figures = turn_figures(turn, 55, Spent(60.0)).values
    assert figures == {
        "prompt_tokens_per_s": (2 * 55 - 10) / 2,
        "decode_tokens_per_s": 2 / 1,  # of each one, between seconds 2 and 3
        "tokens_per_s": 7 / 5,
        "first_token_s": 1.5,
        "watts": 10,
        "joules_per_token": 60 / 7,
        "cpu_frac": 0.5,
    }
    apart = turn_figures(turn._replace(at_s=[[1.0, 2.0], [3.0, 4.0]]), 55, Spent(None, "why")).values
    assert apart["decode_tokens_per_s"] is None and apart["watts"] is None and apart["prompt_tokens_per_s"] == 100 / 3


def one(watts: float | None, missing: str | None = None, decode: float | None = 1.0) -> Figures:
    return Figures({"decode_tokens_per_s": decode, "watts": watts, "joules_per_token": watts}, missing)


def test_watts_are_of_the_rounds_that_have_them_and_the_others_say_why() -> None:
    short = "turns shorter than 0.5 s (cpu package-0)"
    whole = summary([one(5.0), one(7.0), one(6.0)])
    assert whole["watts"] == {"median": 6, "min": 5, "max": 7, "rounds": [5, 7, 6]} and whole["energy_missing"] is None
    part = summary([one(5.0), one(None, short), one(7.0), one(None, short), one(None, "gpu 0 did not move")])
    assert part["watts"]["rounds"] == part["joules_per_token"]["rounds"] == [5, 7]
    assert part["energy_missing"] == f"{short} (2 of 5 rounds); gpu 0 did not move (1 of 5 rounds)"
    none = summary([one(None, short), one(None, short)])
    assert none["watts"] is None and none["joules_per_token"] is None and none["energy_missing"] == short


def test_other_figures_need_every_round() -> None:
    assert summary([one(5.0), one(5.0, decode=None)])["decode_tokens_per_s"] is None


@given(
    sequences=st.integers(1, 16), first_s=st.floats(1e-3, 1e3), step_s=st.floats(1e-4, 10), steps=st.integers(2, 64),
    tokens=st.integers(1, 4096), watts=st.floats(1, 1e3),
)  # fmt: skip
def test_in_step_a_rate_is_the_count_over_the_time(
    sequences: int, first_s: float, step_s: float, steps: int, tokens: int, watts: float
) -> None:
    times = [first_s + step_s * number for number in range(steps)]
    turn = Turn([times] * sequences, 0, max(times[-1], 1.0), 1.0, 0, 0)
    figures = turn_figures(turn, tokens, Spent(watts * turn.seconds)).values
    assert figures["prompt_tokens_per_s"] == pytest.approx(sequences * tokens / first_s)
    assert figures["decode_tokens_per_s"] == pytest.approx(sequences / step_s, rel=1e-6)
    assert figures["watts"] == pytest.approx(watts)
    joules = figures["joules_per_token"]
    assert joules is not None and joules * sequences * steps == pytest.approx(watts * turn.seconds)
