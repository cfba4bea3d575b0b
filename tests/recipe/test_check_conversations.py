"""Stages that learn from conversations: what cannot work is told with the nearest fix, and what is left open is worked out."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import Problem
from pellucid.recipe.load import load_recipe
from pellucid.stages.run_folder import dump_recipe

Problems = Callable[..., list[Problem]]
Write = Callable[..., Path]

TALKS = """\
conversations:
  - {name: talks, path: t.jsonl, shape: messages, available_tokens: 5000}
  - {name: pairs, path: p.jsonl, shape: pairs}
"""
STAGE = """\
  - name: NAME
    objective: NAME
    length_epochs: 3
    batch_seqs: 4
    seq_tokens: 64
    micro_seqs: 2
    schedule: {peak_lr: 1e-3, warmup_frac: 0.1}
"""
SFT, DPO = STAGE.replace("NAME", "sft"), STAGE.replace("NAME", "dpo")
BASE = Path(__file__).with_name("conftest.py").read_text().split('SMALL = """\\\n')[1].split('"""')[0]


@pytest.mark.parametrize(
    ("case", "field", "message", "fix"),
    [
        (["", "train.0.length_epochs=3"], "train[0].length_epochs", "is for stages that learn from conversations", ""),
        (["", "train.0.packing=none"], "train[0].packing", "got none; text is packed", ""),
        ([SFT + TALKS, "train.sft.length_epochs=null"], "train[1].length_epochs", "missing", "length_epochs: 3"),
        ([SFT + TALKS, "train.sft.length_tokens=64"], "train[1].length_tokens", "examples are read to the last one", ""),
        ([SFT + "    batch_tokens: 256\n" + TALKS], "train[1].batch_seqs", "the stage has batch_tokens as well", "keep one"),
        ([SFT + TALKS, "train.sft.batch_seqs=0"], "train[1].batch_seqs", "got 0; must be a whole number", ""),
        ([SFT + TALKS, "train.sft.weights={wiki: 1}"], "train[1].weights", "is for stages that learn from text", "leave it out"),
        ([SFT + TALKS, "train.sft.preference={beta: 0.1}"], "train[1].preference", "the objective is sft", "leave it out"),
        (["", "train.0.heldout.max_examples=3"], "train[0].heldout", "is for held-out conversations", "leave it out"),
        (
            [DPO + TALKS, "train.dpo.objective=self_knowledge", "train.dpo.self_knowledge={facts: f.yaml, messages_from: dpo}"],
            "train[1].self_knowledge.messages_from",
            "got 'dpo'; must be a stage before this one",
            "stages before this one: pretrain",
        ),
        (
            ["", "train.0.schedule={peak_lr: 1e-3, warmup_steps: 3, warmup_frac: 0.5}"],
            "train[0].schedule.warmup_steps",
            "the schedule has warmup_frac as well",
            "keep one",
        ),
        (
            ["", "train.0.schedule={peak_lr: 1e-3, cooldown_steps: 3, cooldown_frac: 0.5}"],
            "train[0].schedule.cooldown_steps",
            "the schedule has cooldown_frac as well",
            "keep one",
        ),
        ([SFT + TALKS, "train.sft.length_epochs=.inf"], "train[1].length_epochs", "got inf; must be a finite number", ""),
        ([SFT + TALKS, "train.sft.conversations=[talk]"], "train[1].conversations", "got 'talk'; names no", "did you mean talks?"),
        ([SFT + TALKS, "train.sft.conversations=[pairs]"], "train[1].conversations", "got 'pairs'; objective sft reads", ""),
        ([SFT + TALKS, "train.sft.attention=causal"], "train[1].attention", "got causal; conversations see themselves", ""),
        ([DPO + TALKS, "train.dpo.packing=best_fit"], "train[1].packing", "got best_fit; objective dpo takes none", ""),
        ([DPO + TALKS, "train.dpo.exact=true"], "train[1].exact", "got true; needs packing: best_fit", ""),
        ([DPO + TALKS, "train.dpo.z_loss=1e-4"], "train[1].z_loss", "got 0.0001; objective dpo has none", ""),
        (
            [DPO + TALKS, "train.dpo.objective=ipo", "train.dpo.preference.label_smoothing=0.1"],
            "train[1].preference.label_smoothing",
            "got 0.1; only dpo has it",
            "",
        ),
        ([DPO], "train[1].conversations", "there are none of shape: pairs", ""),
        ([DPO + TALKS, "train.dpo.objective=self_knowledge"], "train[1].self_knowledge", "missing", ""),
        ([DPO + TALKS, "train.dpo.self_knowledge={facts: f.yaml}"], "train[1].self_knowledge", "the objective is dpo", ""),
        (
            [DPO + TALKS, "train.dpo.objective=self_knowledge", "train.dpo.self_knowledge={facts: f.yaml}", "train.pretrain=null"],
            "train[0].init_from",
            "missing; the stage's first weights write its data",
            "name a model",
        ),
        ([SFT + TALKS, "train.sft.adapter={}", "train.sft.optimizer.kind=muon"], "train[1].optimizer.kind", "got muon", ""),
        ([SFT + TALKS, "train.sft.adapter={}", "train.sft.parallel.shard=full"], "train[1].parallel", "adapters are", ""),
        (
            [SFT + TALKS, "train.sft.adapter={targets: [up, key, up]}"],
            "train[1].adapter.targets",
            "names up more than once",
            "name each",
        ),
        ([SFT + TALKS, "export.formats=[hf, peft]"], "export.formats", "got peft; the last stage, 'sft', has no", "leave peft"),
        (["", "conversations=[{name: a, path: x, hub: y}]"], "conversations[0]", "has both path and hub", ""),
        (["", "conversations=[{name: a, path: x}, {name: A, path: y}]"], "conversations[1].name", "got 'A'; conversations[0]", ""),
        (
            ["", "conversations=[{name: a, path: x, shape: alpaca, min_chosen_score: 8}]"],
            "conversations[0].min_chosen_score",
            "got 8; only pairs have scores",
            "",
        ),
    ],
)
def test_what_cannot_work_is_told(problems: Problems, case: list[str], field: str, message: str, fix: str) -> None:
    found = problems(*case[1:], text=BASE + case[0])
    assert [one.field for one in found] == [field], found
    assert found[0].message.startswith(message)
    assert found[0].fix.startswith(fix)


def test_a_recipe_without_text_must_learn_from_conversations_with_an_imported_vocabulary(problems: Problems) -> None:
    told = [one.message for one in problems("sources=[]") if one.field == "sources"]
    assert told == [
        "got none; stage 'pretrain' learns from text",
        "got none; a vocabulary of kind bpe is learnt from text",
    ]


def test_batch_length_packing_and_attention_follow_from_objective_and_sources(write: Write) -> None:
    recipe = load_recipe(write(BASE + SFT + DPO + TALKS)).recipe
    _, sft, dpo = recipe.train
    assert (sft.batch_seqs, sft.batch_tokens, sft.packing, sft.attention) == (4, 256, "best_fit", "document")
    assert (dpo.packing, dpo.attention, dpo.learns_from_pairs) == ("none", "document", True)
    assert sft.length_tokens == 15_000  # three times what the source says it has
    assert dpo.length_tokens == dpo.batch_tokens  # nothing is known of the pairs
    assert [source.name for source in recipe.conversations_of(sft)] == ["talks"]
    assert [source.name for source in recipe.conversations_of(dpo)] == ["pairs"]


def test_a_warm_up_as_a_share_is_worked_out_where_the_length_is_known(write: Write) -> None:
    stage = load_recipe(write(), ["train.0.schedule={warmup_steps: 0, warmup_frac: 0.1}"]).recipe.train[0]
    assert (stage.total_steps, stage.schedule.warmup_steps) == (245, 25)


def test_a_cool_down_as_a_share_is_worked_out_too_and_follows_the_length(write: Write) -> None:
    share = "train.0.schedule={cooldown_frac: 0.1}"
    stage = load_recipe(write(), [share, "train.0.length_tokens=1e5"]).recipe.train[0]
    assert stage.schedule.cooldown_steps == math.ceil(0.1 * stage.total_steps)
    assert stage.lasting(73).schedule.cooldown_steps == 8


def test_a_resolved_recipe_loads_again_with_the_same_values_and_takes_overrides(write: Write) -> None:
    loaded = load_recipe(write(BASE + SFT + DPO + TALKS))
    again = write(dump_recipe(loaded), name="again.yaml")
    assert load_recipe(again).recipe == loaded.recipe
    changed = load_recipe(again, ["train.sft.length_epochs=2", "train.sft.batch_seqs=8"]).recipe.train[1]
    assert (changed.length_tokens, changed.batch_seqs) == (10_000, 8)


def test_a_template_file_is_inherited_from_where_it_was_named(write: Write) -> None:
    write(BASE + "chat: {template: own.jinja}\n", name="sub/base.yaml")
    assert load_recipe(write("extends: sub/base.yaml\n", name="child.yaml")).recipe.chat.template == "sub/own.jinja"
    write(BASE + "chat: {template: zephyr}\n", name="sub/base.yaml")
    assert load_recipe(write("extends: sub/base.yaml\n", name="child.yaml")).recipe.chat.template == "zephyr"


def test_a_stage_learns_its_length_and_its_warm_up_when_examples_are_counted(write: Write) -> None:
    sft = load_recipe(write(BASE + SFT + TALKS)).recipe.train[1].lasting(41)
    assert (sft.total_steps, sft.schedule.warmup_steps) == (41, 5)


def test_a_warm_up_is_not_held_against_a_length_that_only_the_examples_tell(write: Write) -> None:
    dpo = load_recipe(write(BASE + DPO.replace("warmup_frac: 0.1", "warmup_steps: 100") + TALKS)).recipe.train[1]
    assert (dpo.total_steps, dpo.schedule.warmup_steps) == (1, 100)
