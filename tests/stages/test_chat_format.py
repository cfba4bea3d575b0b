"""The chat format of a run folder, and prompts that fit."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.export.chat_parity import Message
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.load import LoadedRecipe, load_recipe
from pellucid.recipe.model import ModelConfig
from pellucid.stages.chat_format import answers_at, chat_format_of, chat_sample, fit_prompt, keep_template
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.training import train_bpe

chats = pytest.importorskip("pellucid.tokenizer.chat")

ROOT = Path(__file__).parents[2]
RECIPE = """\
extends: {base}
chat: {{template: {template}}}
conversations: [{{name: talks, path: talks.jsonl}}]
train:
  dpo: null
  self_knowledge: null
  sft: {{objective: sft, length_epochs: 1, batch_seqs: 4, micro_seqs: 4, seq_tokens: 64, schedule: {{peak_lr: 1e-4}}}}
"""
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + '> ' + m['content'] + '\\n' }}{% endfor %}{{ 'assistant> ' if add_generation_prompt }}"
)


@pytest.fixture(scope="module")
def vocabulary() -> BytePairTokenizer:
    return train_bpe(probe_texts(), 600)


@pytest.fixture(scope="module")
def model() -> Decoder:
    shape: dict[str, Any] = {
        "vocab_tokens": 640, "context_tokens": 96, "layers": 1, "hidden": 32, "heads": 2, "kv_heads": 2, "mlp_hidden": 32,
        "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": True,
    }  # fmt: skip
    decoder = Decoder(ModelConfig(**shape))
    init_weights(decoder, 1)
    return decoder


def recipe_at(folder: Path, template: str = "chatml") -> LoadedRecipe:
    (folder / "own.jinja").write_text(TEMPLATE)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(base=ROOT / "recipes" / "pocket-smoke.yaml", template=template))
    return load_recipe(path)


def test_a_template_of_the_recipes_own_is_found_in_the_run_wherever_the_recipe_lay(
    tmp_path: Path, vocabulary: BytePairTokenizer
) -> None:
    (tmp_path / "place").mkdir()
    run = tmp_path / "run"
    loaded = recipe_at(tmp_path / "place", "own.jinja")
    keep_template(loaded, run)
    vocabulary.save(run / "tokenizer")
    shutil.rmtree(tmp_path / "place")
    chat = chat_format_of(loaded.recipe, run)
    assert list(chat.prompt([{"role": "user", "content": "Hi"}])) == vocabulary.encode("user> Hi\nassistant> ")
    # The next recipe of this run takes a shipped one again.
    (tmp_path / "place").mkdir()
    loaded = recipe_at(tmp_path / "place")
    keep_template(loaded, run)
    start = chat_format_of(loaded.recipe, run).prompt([{"role": "user", "content": "Hi"}])[0]
    assert start == vocabulary.special["<|im_start|>"]


def test_the_template_that_a_vocabulary_brought_is_found_with_it(tmp_path: Path, vocabulary: BytePairTokenizer) -> None:
    vocabulary.save(tmp_path / "run" / "tokenizer")
    (tmp_path / "run" / "tokenizer" / "chat_template.jinja").write_text(TEMPLATE)
    chat = chat_format_of(recipe_at(tmp_path, "tokenizer").recipe, tmp_path / "run")
    assert list(chat.prompt([{"role": "user", "content": "Hi"}])) == vocabulary.encode("user> Hi\nassistant> ")


def test_a_model_answers_from_the_first_stage_on_that_learns_from_more_than_text(tmp_path: Path) -> None:
    recipe = recipe_at(tmp_path).recipe
    names = [stage.name for stage in recipe.train]
    assert recipe.is_chat
    answered = [answers_at(recipe, tmp_path / name / "checkpoints" / "step-00000001") for name in names]
    assert answered == [stage.objective != "next_token" for stage in recipe.train] and answered[-1]
    base = load_recipe(ROOT / "recipes" / "tinyllama-1.1b.yaml").recipe
    assert not base.is_chat and not answers_at(base, tmp_path / base.train[0].name / "checkpoints" / "step-00000001")


@pytest.fixture(scope="module")
def chatml(vocabulary: BytePairTokenizer) -> Any:
    return chats.load_chat_format("chatml", vocabulary, base=Path())


TURNS = st.lists(st.text("ab c", max_size=30), min_size=1, max_size=9).filter(lambda texts: len(texts) % 2 == 1)


@settings(max_examples=60)
@given(texts=TURNS, system=st.none() | st.just("Be brief."), answer_tokens=st.integers(1, 200))
def test_a_prompt_is_the_longest_end_of_a_conversation_that_leaves_room_for_an_answer(
    chatml: Any, texts: list[str], system: str | None, answer_tokens: int
) -> None:
    first: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    turns: list[Message] = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    ids, dropped = fit_prompt(chatml, [*first, *turns], 96, answer_tokens)
    assert dropped % 2 == 0 and dropped < len(turns)
    assert ids == chatml.prompt([*first, *turns[dropped:]])
    room = 96 - min(answer_tokens, 24)
    assert len(ids) <= room or (dropped == len(turns) - 1 and len(ids) < 96)
    if dropped:
        assert len(chatml.prompt([*first, *turns[dropped - 2 :]])) > room


def test_a_message_that_fills_the_context_by_itself_is_refused(chatml: Any) -> None:
    with pytest.raises(UsageError, match="the context holds 96: shorten it"):
        fit_prompt(chatml, [{"role": "user", "content": "word " * 200}], 96, 10)


def test_a_sample_is_the_answer_to_one_message(vocabulary: BytePairTokenizer, model: Decoder) -> None:
    chat = chats.load_chat_format("chatml", vocabulary, base=Path())
    answers = [chat_sample(chat, vocabulary, model, "Who are you?", new_tokens=12, seed=seed) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]
    assert "Who are you?" not in answers[0]
    chat.stop_ids = tuple(range(model.config.vocab_tokens))
    assert chat_sample(chat, vocabulary, model, "Who are you?", new_tokens=12, seed=1) == ""
