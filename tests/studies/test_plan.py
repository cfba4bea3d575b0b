from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.plan.flops import flops_per_token
from pellucid.studies.design import LoadedStudy, load_study
from pellucid.studies.plan import plan_study

BASE = """\
sources: [{name: a, path: a.txt, category: Web, language: en, weight: 1}]
model: {preset: pocket}
train:
  - name: pretrain
    length_tokens: 102_400
    batch_tokens: 1024
    seq_tokens: 128
    micro_seqs: 8
    checkpoint: {every_steps: 10, keep_every_steps: 10}
    schedule: {kind: constant, peak_lr: 1e-3, cooldown_frac: 0.1}
"""
STUDY = """\
kind: study
base: base.yaml
axes:
  length: {key: train.0.length_tokens, values: [102400, 51200, 20480]}
seeds: [1, 2]
"""
Study = Callable[..., LoadedStudy]


@pytest.fixture
def load(tmp_path: Path) -> Study:
    (tmp_path / "base.yaml").write_text(BASE)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return lambda *overrides: load_study(path, overrides)


def test_tokens_and_flops_that_runs_share_count_once(load: Study) -> None:
    study = load()
    plan = plan_study(study)
    own = {one.run.name: one.tokens for one in plan.runs}
    # The cool-downs begin after 45 and 18 steps, the checkpoints before them lie at 40 and 10.
    assert own == {f"{length}-s{seed}": tokens for seed in (1, 2) for length, tokens in (("102400", 102_400), ("51200", 10_240), ("20480", 10_240))}  # fmt: skip  # noqa: E501
    told = plan.to_json()
    assert told["tokens"] + told["shared_tokens"] == 2 * (102_400 + 51_200 + 20_480)
    per_token = flops_per_token(study.runs[0].loaded.recipe.model, 128)["with_attention"]
    assert told["flops"] == pytest.approx(told["tokens"] * per_token)
    assert [len(wave) for wave in plan.waves] == [2, 4]


def test_a_budget_of_tokens_leaves_runs_out_and_says_so(load: Study) -> None:
    plan = plan_study(load("budget.tokens=2.2e5"))
    assert plan.to_json()["tokens"] <= 2.2e5
    assert len(plan.runs) + len(plan.left_out) == 6
    assert plan.left_out
    assert all("budget.tokens = 220000 has no room for it" in one.left_out for one in plan.left_out)


def test_a_budget_of_flops_does_too_and_what_began_with_a_run_left_out_counts_in_full(load: Study) -> None:
    whole = plan_study(load()).to_json()["flops"]
    assert plan_study(load(f"budget.flops={whole * 1.01:.0f}")).left_out == []
    small = plan_study(load(f"budget.flops={whole * 0.4:.0f}"))
    assert {one.run.name for one in small.runs} >= {"51200-s1", "20480-s1"}
    assert next(one for one in small.runs if one.run.name == "51200-s1").begins_with is None


def test_runs_that_end_at_anothers_loss_wait_for_it(load: Study) -> None:
    plan = plan_study(load("stop.target_level={length: '51200'}"))
    targets = {one.run.name: one.target for one in plan.runs}
    assert targets["102400-s2"] == targets["20480-s2"] == "51200-s2"
    assert targets["51200-s1"] is None
    assert {one.run.name for one in plan.waves[0]} == {"51200-s1", "51200-s2"}
    assert plan_study(load("stop.target_level={length: '51200'}", "budget.tokens=1e4")).runs == []
