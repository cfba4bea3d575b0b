import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.attempts import Attempt
from pellucid.core.spending import Rates, account_of, how_known, spending_of

RATES = Rates(usd_per_device_hour=3.5, pue=1.1, grid_kg_co2e_per_kwh=0.385)
MWH = 3.6e9


def attempt(stage: str = "pretrain", **fields: Any) -> Attempt:
    given: dict[str, Any] = {"outcome": "end", "seconds": 3600.0, "joules": 3.6e6, **fields}
    return Attempt(stage, 1, 1, "2026-11-22T10:00:00Z", **given)


def test_the_30_mwh_of_stable_lm_2_are_11_55_t() -> None:
    """Its report (arXiv 2402.17834, section 2.4) prints 30 MWh, PUE 1.1, 0.385 kg CO2e/kWh and 11 t: the product is 11.55 t."""
    # What 512 GPUs took in 92 000 GPU-hours, so that with the PUE it is 30 MWh.
    run = attempt(seconds=92_000 / 512 * 3600, devices=512, joules=30 * MWH / 1.1)
    total = spending_of([run], RATES).total
    assert total.kwh_with_pue == pytest.approx(30_000, rel=1e-12)
    assert total.kg_co2e == pytest.approx(11_550, rel=1e-12)
    assert total.device_hours == pytest.approx(92_000, rel=1e-12) and total.usd == pytest.approx(322_000, rel=1e-12)


@pytest.mark.parametrize(
    ("gpu_hours", "mwh", "tonnes"),
    [(82_432, 36, 14), (135_168, 59, 23), (530_432, 233, 90), (1_022_362, 449, 173), (809_472, 356, 137)],
)
def test_the_rows_that_llama_prints_come_out_of_its_formula(gpu_hours: int, mwh: int, tonnes: int) -> None:
    """Touvron et al. 2023 (arXiv 2302.13971), table 15: GPU-hours · 400 W · PUE 1.1, and 0.385 kg CO2e a kWh."""
    total = spending_of([attempt(seconds=gpu_hours * 3600.0, joules=gpu_hours * 3600 * 400.0)], RATES).total
    # They rounded down here and there: 449.8 MWh are printed as 449.
    assert total.kwh_with_pue / 1000 == pytest.approx(mwh, abs=1)
    assert total.kg_co2e / 1000 == pytest.approx(tonnes, abs=0.7)


def test_every_attempt_counts_however_it_ended_and_measured_is_kept_apart() -> None:
    attempts = [
        attempt("plan", seconds=36.0, joules=None, devices=None),
        attempt("pretrain", outcome="killed", devices=2),
        attempt("pretrain", outcome="failure", measured=True, devices=2, joules=7.2e6),
        attempt("pretrain", devices=2),
    ]
    found = spending_of(attempts, Rates(1.0, 1.5, 0.5, devices=4))
    assert list(found.by_stage) == ["plan", "pretrain"] and list(found.by_outcome) == ["end", "killed", "failure"]
    total = found.total
    assert (total.attempts, total.hours, total.device_hours, total.usd) == pytest.approx((4, 3.01, 6.04, 6.04))
    assert (total.kwh_measured, total.kwh_estimated, total.kwh) == (2.0, 2.0, 4.0)
    assert (total.kwh_with_pue, total.kg_co2e, total.unknown_hours) == pytest.approx((6.0, 3.0, 0.01))
    assert (found.without_end.attempts, found.without_end.hours, found.without_end.kwh) == (2, 2.0, 3.0)


ATTEMPTS = st.lists(
    st.builds(
        attempt,
        stage=st.sampled_from(["plan", "pretrain", "sft"]),
        outcome=st.sampled_from(["end", "stop", "failure", "killed", "running"]),
        seconds=st.floats(0, 1e7),
        joules=st.none() | st.floats(0, 1e12),
        measured=st.booleans(),
        devices=st.none() | st.integers(1, 1024),
    ),
    max_size=12,
)


@given(attempts=ATTEMPTS)
def test_stages_and_outcomes_add_up_to_the_whole(attempts: list[Attempt]) -> None:
    found = spending_of(attempts, RATES)
    total = dataclasses.asdict(found.total)
    for parts in (found.by_stage.values(), found.by_outcome.values()):
        for name, value in total.items():
            assert sum(getattr(part, name) for part in parts) == pytest.approx(value)
    ended = found.by_outcome.get("end")
    assert found.without_end.hours + (ended.hours if ended else 0.0) == pytest.approx(found.total.hours)


def test_it_is_json() -> None:
    found = spending_of([attempt()], RATES).as_json()
    assert found["rates"]["pue"] == 1.1 and found["by_stage"]["pretrain"]["kwh"] == 1.0


def test_how_energy_is_known_is_told_of_an_amount() -> None:
    def told(*attempts: Attempt) -> str | None:
        return how_known(spending_of(attempts, RATES).as_json()["total"])

    counted, guessed, untold = attempt(measured=True), attempt(measured=False), attempt(joules=None)
    assert (told(counted), told(guessed), told(counted, guessed)) == ("measured", "estimated", "measured in part")
    assert (told(), told(untold), told(untold, guessed)) == (None, None, "estimated")


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["start", "start+", "alive", "killed", "end", "failure", "steps_skipped"]),
        st.sampled_from(["pretrain", "sft", "report"]),
        st.integers(1, 2),
    ),
    max_size=14,
)


def line(name: str, stage: str, number: int, second: int) -> dict[str, Any]:
    event = {"event": name.rstrip("+"), "at": f"2026-11-22T10:00:{second:02d}Z", "stage": stage, "attempt": number}
    return {
        **event,
        "continues": name.endswith("+"),
        "seconds": float(second),
        "steps": [second],
        "energy": {"joules": second * 9.0},
    }


@settings(max_examples=300)
@given(told=EVENTS)
def test_an_account_can_be_made_again_from_a_ledger_that_has_grown(told: list[tuple[str, str, int]]) -> None:
    """Whatever came later: ends, kills, attempts under the same number, signs of life of those that had been taken for killed."""
    events = [line(*one, second) for second, one in enumerate(told)]
    for length in range(len(events) + 1):
        account = account_of(events[:length], RATES)
        assert account_of(events[: account["ledger"]["lines"]], RATES) == account


def test_a_build_is_what_the_artifact_took_and_by_stage_all_that_was_tried() -> None:
    lines = ["start 1", "failure 1", "start 2", "killed 2", "start+ 3", "end 3", "start 4", "failure 4"]
    events = [line(one.split()[0], "pretrain", int(one.split()[1]), second) for second, one in enumerate(lines)]
    account = account_of(events, RATES)
    build, every = account["builds"]["pretrain"], account["by_stage"]["pretrain"]
    assert (build["first"], build["attempts"], build["hours"] * 3600) == (2, 2, pytest.approx(3 + 5))
    assert (every["attempts"], every["hours"] * 3600) == (4, pytest.approx(1 + 3 + 5 + 7))
    assert build["kwh"] * 3.6e6 == pytest.approx(9 * 8) and build["usd"] == pytest.approx(build["device_hours"] * 3.5)
