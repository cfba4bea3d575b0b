from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.optim.schedules import learning_rate
from pellucid.recipe.load import load_recipe
from pellucid.recipe.recipe import Recipe
from pellucid.studies.sharing import Beginning, common_beginning, in_order, waves

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
    schedule: {kind: hyb, peak_lr: 1e-3, warmup_steps: 5, cooldown_frac: 0.1, period_steps: 100}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return lambda *overrides: load_recipe(path, overrides).recipe


def test_a_trunk_is_common_up_to_where_the_shorter_run_cools_down(recipe: Callable[..., Recipe]) -> None:
    long, short = recipe(), recipe("train.0.length_tokens=51200")
    found = common_beginning(long, short)
    assert found == Beginning(0, 45, 45 * 1024)
    one, other = long.train[0], short.train[0]
    rates = [(learning_rate(one.schedule, step, 100), learning_rate(other.schedule, step, 50)) for step in range(1, 51)]
    assert all(a == b for a, b in rates[:45])
    assert rates[45][0] != rates[45][1]
    assert common_beginning(short, long) == found


def test_a_cosine_of_another_length_is_another_from_the_end_of_warm_up_on(recipe: Callable[..., Recipe]) -> None:
    cosine = "train.0.schedule={kind: cosine, period_steps: null}"
    assert common_beginning(recipe(cosine), recipe(cosine, "train.0.length_tokens=51200")).steps == 5


@pytest.mark.parametrize(
    "change",
    [
        "seed=2",
        "model.layers=2",
        "tokenizer.vocab_tokens=512",
        "documents.heldout_frac=0.1",
        "train.0.batch_tokens=2048",
        "train.0.z_loss=1e-4",
        "train.0.optimizer.beta2=0.99",
        "sources.a.weight=2",
    ],
)
def test_nothing_is_common_where_anything_that_is_computed_differs(recipe: Callable[..., Recipe], change: str) -> None:
    assert in_order([recipe(), recipe("train.0.length_tokens=51200")])[1].keys() == {1}
    assert in_order([recipe(), recipe(change, "train.0.length_tokens=51200")])[1] == {}


def test_what_is_only_kept_shown_or_scored_makes_no_difference(recipe: Callable[..., Recipe]) -> None:
    changes = ("name=b", "evaluate.stride_tokens=8", "train.0.checkpoint.keep_last=7", "plan.device=cpu-2-core")
    assert common_beginning(recipe(), recipe(*changes)) == Beginning(1, 0, 102_400)


def test_shares_that_follow_from_the_length_are_not_common_to_two_lengths(recipe: Callable[..., Recipe]) -> None:
    epochs = ("sources.a.weight=null", "sources.a.epochs=1", "sources.a.available_tokens=51200")
    assert common_beginning(recipe(*epochs), recipe(*epochs, "train.0.length_tokens=51200")).tokens == 0
    assert common_beginning(recipe(*epochs), recipe(*epochs, "name=b")).stages == 1


def test_the_longest_is_trained_first_and_the_others_begin_with_it_at_a_checkpoint(recipe: Callable[..., Recipe]) -> None:
    recipes = [recipe(f"train.0.length_tokens={steps * 1024}", f"seed={seed}") for seed in (1, 2) for steps in (30, 100, 60)]
    order, sources = in_order(recipes)
    assert order == [1, 4, 2, 5, 0, 3]
    # 27 of 30 steps and 54 of 60 are before their cool-downs; checkpoints lie at tens.
    assert {place: (source.place, source.beginning.steps) for place, source in sources.items()} == {
        2: (1, 50),
        5: (4, 50),
        0: (1, 20),
        3: (4, 20),
    }


def test_warming_up_alike_is_not_worth_waiting_for(recipe: Callable[..., Recipe]) -> None:
    cosine = "train.0.schedule={kind: cosine, period_steps: null}"
    assert in_order([recipe(cosine), recipe(cosine, "train.0.length_tokens=51200")])[1] == {}


def test_second_stages_begin_with_the_first_that_others_have_trained(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    second = (
        "  - {name: again, length_tokens: 20_480, batch_tokens: 1024, seq_tokens: 128, micro_seqs: 8, schedule: {peak_lr: 1e-4}}\n"
    )
    path.write_text(BASE + second)
    a = load_recipe(path).recipe
    b = load_recipe(path, ["train.again.schedule.peak_lr=2e-4"]).recipe
    assert common_beginning(a, b) == Beginning(1, 0, 102_400)
    assert in_order([a, b])[1][1].beginning.stages == 1


def test_waves_keep_order_and_wait_for_all_that_comes_before() -> None:
    after: dict[int, Any] = {2: [0], 3: [2, 1], 4: []}
    assert waves([4, 0, 1, 2, 3], after) == [[4, 0, 1], [2], [3]]
