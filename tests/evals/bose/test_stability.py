import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]

from pellucid.core.errors import UsageError
from pellucid.evals.bose.stability import Moment, compare, stability, stability_of_results
from pellucid.evals.results import Record, Records, summarise
from pellucid.evals.stored import open_results


def moments(rate_of: dict[str, list[float]], items: int = 200, seed: int = 0) -> list[Moment]:
    """Checkpoints whose items are right with the given rates; of one item, all checkpoints draw from the same number."""
    generator = np.random.default_rng(seed)
    drawn = {task: generator.random(items) for task in rate_of}
    return [
        Moment(
            1000.0 * (number + 1),
            [
                Record(task, str(item), {"acc": float(drawn[task][item] < rates[number])})
                for task, rates in rate_of.items()
                for item in range(items)
            ],
        )
        for number in range(len(next(iter(rate_of.values()))))
    ]


def test_a_score_that_rises_is_stable_and_one_that_falls_is_not() -> None:
    table = stability(moments({"up": [0.2, 0.3, 0.4, 0.5, 0.6], "down": [0.6, 0.5, 0.4, 0.3, 0.2], "flat": [0.5] * 5}))
    assert table["up"]["tau"] == table["up"]["low"] == 1 and table["up"]["rises"] == 1 and table["up"]["split_half"] > 0.9
    assert table["down"]["tau"] == table["down"]["high"] == -1 and table["down"]["rises"] == 0
    assert table["flat"]["tau"] == table["flat"]["low"] == table["flat"]["high"] == 0 and table["flat"]["rises"] == 0.5
    assert table["up"]["items"] == 200 and table["up"]["form_stdev"] is None


def test_tau_is_scipys_and_noise_widens_its_interval() -> None:
    rates = [0.3, 0.34, 0.31, 0.36, 0.36, 0.4]
    generator = np.random.default_rng(5)
    scores = generator.random((6, 80)) < np.array(rates)[:, None]
    noisy = [
        Moment(float(number), [Record("t", str(item), {"acc": float(x)}) for item, x in enumerate(row)])
        for number, row in enumerate(scores)
    ]
    row = stability(noisy)["t"]
    assert row["tau"] == pytest.approx(scipy.stats.kendalltau(range(6), scores.mean(axis=1)).statistic)
    drawn = []
    for _ in range(300):
        means = scores[:, generator.integers(0, 80, 80)].mean(axis=1)
        drawn.append(scipy.stats.kendalltau(range(6), means).statistic)
    assert row["low"] == pytest.approx(np.quantile(drawn, 0.025), abs=0.15)
    assert row["high"] == pytest.approx(np.quantile(drawn, 0.975), abs=0.15)
    assert row["high"] - row["low"] > 0.3


def test_what_is_more_stable_is_said_and_what_is_not_known_too() -> None:
    rising, falling = [0.2, 0.35, 0.5, 0.65], [0.5, 0.45, 0.4, 0.35]
    both = moments({"plain": falling, "other": rising, "twin": rising})
    assert compare(both, "plain", "other")["verdict"] == "more stable"
    assert compare(both, "other", "plain")["verdict"] == "less stable"
    same = compare(both, "other", "twin")
    assert same["verdict"] == "no difference shown" and same["difference"] == 0


def test_chance_alone_seldom_makes_a_difference() -> None:
    verdicts = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        rates = [0.3, 0.33, 0.36, 0.39, 0.42]
        both = [
            Moment(
                float(number),
                [Record(t, str(item), {"acc": float(generator.random() < rate)}) for t in ("a", "b") for item in range(60)],
            )
            for number, rate in enumerate(rates)
        ]
        verdicts.append(compare(both, "a", "b", seed=seed)["verdict"])
    assert verdicts.count("no difference shown") >= 36


def test_only_items_of_all_moments_count() -> None:
    made = moments({"t": [0.2, 0.4, 0.6]}, items=30)
    made[1] = Moment(made[1].position, [record for record in made[1].records if record.item != "7"])
    assert stability(made)["t"]["items"] == 29
    made[1] = Moment(made[1].position, [])
    assert stability(made) == {}
    with pytest.raises(UsageError, match="t and u share no items"):
        compare(made, "t", "u")


def test_the_spread_over_forms_is_told() -> None:
    made = [
        Moment(float(number), [Record("t", str(item), {"acc": 1.0}, details={"right_by_form": [1.0, float(item > 4)]})
                               for item in range(10)])
        for number in range(3)
    ]  # fmt: skip
    assert stability(made)["t"]["form_stdev"] == pytest.approx(np.std([1, 0.5], ddof=1))


def test_positions_must_rise() -> None:
    three = moments({"t": [0.1, 0.2, 0.3]}, items=5)
    with pytest.raises(UsageError, match="2 checkpoints make no ranking"):
        stability(three[:2])
    for order in list(itertools.permutations(three))[1:]:
        with pytest.raises(UsageError, match="in the order of training"):
            stability(order)


def write_result(folder: Path, moment: Moment, **subject: object) -> None:
    folder.mkdir(parents=True)
    with Records(folder / "items.jsonl") as records:
        for record in moment.records:
            records.add(record)
        tables = summarise(records, 1)
    who = {"label": folder.parent.name, "run": "r", "step": int(moment.position), **subject}
    raw = {"schema": 1, "suite": "bose", "subject": who, "complete": True, "tasks": tables}
    (folder / "result.json").write_text(json.dumps(raw))


def test_stored_results_are_ranked_by_step_and_each_way_told_against_the_plain_one(tmp_path: Path) -> None:
    rising, falling = [0.2, 0.35, 0.5, 0.65], [0.5, 0.45, 0.4, 0.35]
    made = moments({"t:letter": falling, "t:blank": rising, "u:iclip": rising})
    for number in (2, 0, 3, 1):
        write_result(tmp_path / f"c{9 - number}" / "bose", made[number])
    found = stability_of_results(open_results(tmp_path))
    assert found["steps"] == [1000, 2000, 3000, 4000] and found["subjects"] == ["c9", "c8", "c7", "c6"]
    assert found["tasks"] == stability(made)
    assert found["against_plain"] == {"t": {"blank": compare(made, "t:letter", "t:blank")}}
    assert found["against_plain"]["t"]["blank"]["verdict"] == "more stable"
    folders = [tmp_path / name for name in ("c6", "c7", "c9")]
    assert stability_of_results([result for folder in folders for result in open_results(folder)])["steps"] == [1000, 3000, 4000]
    write_result(tmp_path / "other" / "bose", made[1], run="s")
    with pytest.raises(UsageError, match=r"several runs \(r, s\)"):
        stability_of_results(open_results(tmp_path))
    write_result(tmp_path / "hub" / "bose", made[1], step=None)
    with pytest.raises(UsageError, match="hub, which has no step"):
        stability_of_results(open_results(tmp_path))
