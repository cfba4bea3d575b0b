import json
from pathlib import Path

import pytest

from pellucid.conversations.store import Examples
from pellucid.core.artifacts import Key, building, read_manifest
from pellucid.core.errors import ArtifactError, DataError
from pellucid.recipe.load import load_recipe
from pellucid.stages.conversations import CONVERSATIONS, limit_tokens
from pellucid.stages.stage import Context, run_stage
from pellucid.tokenizer.tokenizer import load_tokenizer
from pellucid.tokenizer.training import train_bpe

RECIPE = """\
conversations:
  - {name: talks, path: talks.jsonl, language: en, licence: MIT, heldout_frac: 0.2}
  - {name: likes, path: likes.jsonl, heldout_frac: 0, min_chosen_score: 8}
tokenizer: {kind: arcade100k}
chat: {template: chatml}
model: {preset: pocket, context_tokens: 64}
train:
  sft: {objective: sft, length_epochs: 1, batch_seqs: 4, seq_tokens: 48, micro_seqs: 2, schedule: {peak_lr: 1e-3}}
  dpo: {objective: dpo, length_epochs: 1, batch_seqs: 4, seq_tokens: 40, micro_seqs: 2, schedule: {peak_lr: 1e-4}}
"""


def talk(*contents: str) -> dict[str, object]:
    return {"messages": [{"role": ("user", "assistant")[n], "content": content} for n, content in enumerate(contents)]}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A run that has come as far as its vocabulary."""
    numbers = " ".join(map(str, range(90)))
    talks = [talk(f"What is {n}?", f"It is {n}.") for n in range(60)]
    talks += [talk("Count!", numbers), talk(numbers, "Well."), talk("Hello?")]
    scores = [(9 - n % 3, 7) for n in range(9)]
    likes = [
        {"prompt": f"{n}?", "chosen": f"Yes, {n}.", "rejected": "No.", "score_chosen": chosen, "score_rejected": rejected}
        for n, (chosen, rejected) in enumerate(scores)
    ]
    for name, records in (("talks", talks), ("likes", likes)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return open_context(tmp_path, RECIPE)


def open_context(folder: Path, recipe: str) -> Context:
    (folder / "chatty.yaml").write_text(recipe)
    context = Context(load_recipe(folder / "chatty.yaml"), folder / "runs" / "chatty")
    if not (context.run / "tokenizer").exists():
        with building(context.run / "tokenizer", Key("tokenizer", 1, 0, {})) as build:
            train_bpe(["What is it? It is 1."], 290).save(build.path)
    return context


def test_conversations_and_pairs_become_ids_that_decode_to_what_was_said(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_stage(CONVERSATIONS, context)
    out = context.run / "conversations"
    tokenizer = load_tokenizer(context.run / "tokenizer")
    train, heldout = (Examples(out / "talks" / split) for split in ("train", "heldout"))
    assert train.examples + heldout.examples == 61
    assert heldout.examples > 3
    for number in range(5):
        ids, targets = train.read(number)
        assert targets[-1]
        question = tokenizer.decode(ids[~targets].tolist()).partition("What is ")[2].partition("?")[0]
        assert tokenizer.decode(ids[targets].tolist()) == f"It is {question}.<|im_end|>"
    assert max(train.lengths.max(), heldout.lengths.max()) <= 48
    likes = Examples(out / "likes" / "train")
    assert (likes.sequences_per_example, likes.examples) == (2, 6)
    assert set(likes.values["chosen_score"]) == {8.0, 9.0}
    assert likes.about()[0]["id"] == "likes.jsonl@0"
    funnel = json.loads((out / "funnel.json").read_text())["sources"]
    assert funnel["talks"]["dropped"] == {"no answer": 1, "nothing left within the context": 1}
    assert (funnel["talks"]["limit_tokens"], funnel["likes"]["limit_tokens"]) == (48, 40)
    assert sum(split["truncated"] for split in funnel["talks"]["splits"].values()) == 1
    assert funnel["likes"]["dropped"] == {"chosen score under min_chosen_score": 3}
    summary = read_manifest(out, "conversations").summary
    assert summary["conversations"] == train.examples
    assert summary["pairs_tokens"] == likes.tokens
    assert summary["dropped"] == 5
    remark = " ".join(capsys.readouterr().err.split())
    assert f"{train.examples} conversations (" in remark
    assert "of them answers), 6 pairs (" in remark
    assert f"{heldout.examples} held out, 5 dropped, 1 cut to the context" in remark


def test_the_stage_runs_again_when_and_only_when_something_changed(context: Context, tmp_path: Path) -> None:
    assert run_stage(CONVERSATIONS, context)
    first = read_manifest(context.run / "conversations")
    assert not run_stage(CONVERSATIONS, context)
    planned = RECIPE.replace("language: en", "language: en, available_examples: 50").replace("1e-3", "2e-3")
    assert not run_stage(CONVERSATIONS, open_context(tmp_path, planned)), "nothing of this decides a byte"
    assert run_stage(CONVERSATIONS, open_context(tmp_path, RECIPE.replace("seq_tokens: 48", "seq_tokens: 44")))
    with (tmp_path / "likes.jsonl").open("a") as file:
        file.write('{"prompt": "More?", "chosen": "Yes.", "rejected": "No.", "score_chosen": 9, "score_rejected": 1}\n')
    assert run_stage(CONVERSATIONS, context)
    assert read_manifest(context.run / "conversations").summary["pairs"] == first.summary["pairs"] + 1
    assert run_stage(CONVERSATIONS, open_context(tmp_path, RECIPE.replace("chatml", "plain")))
    (tmp_path / "own.jinja").write_text("{% for message in messages %}{{ message.content + eos_token }}{% endfor %}")
    own = RECIPE.replace("chatml", "own.jinja")
    assert run_stage(CONVERSATIONS, open_context(tmp_path, own))
    (tmp_path / "own.jinja").write_text("{% for message in messages %}{{ eos_token + message.content + eos_token }}{% endfor %}")
    assert run_stage(CONVERSATIONS, open_context(tmp_path, own))


def test_a_source_of_the_wrong_kind_is_told_to_the_stage_that_names_it(context: Context, tmp_path: Path) -> None:
    recipe = RECIPE.replace("objective: dpo,", "objective: dpo, conversations: [talks],")
    with pytest.raises(DataError, match=r"'talks' holds conversations, .*stage 'dpo', which names it, .*dpo and reads pairs"):
        run_stage(CONVERSATIONS, open_context(tmp_path, recipe))
    one_kind = "\n".join(line for line in RECIPE.splitlines() if "likes" not in line)
    with pytest.raises(DataError, match=r"stage 'dpo' .* reads pairs; there are none in talks \(shape messages\)"):
        run_stage(CONVERSATIONS, open_context(tmp_path, one_kind))


def test_a_stage_that_is_added_later_is_told_as_well_though_nothing_is_read_again(context: Context, tmp_path: Path) -> None:
    short = RECIPE.replace("seq_tokens: 48", "seq_tokens: 64").replace("seq_tokens: 40", "seq_tokens: 64")
    without = "".join(line for line in short.splitlines(keepends=True) if "dpo" not in line)
    assert run_stage(CONVERSATIONS, open_context(tmp_path, without))
    wrong = short.replace("objective: dpo,", "objective: dpo, conversations: [talks],")
    with pytest.raises(DataError, match=r"'talks' holds conversations, .*stage 'dpo', which names it, .*dpo and reads pairs"):
        run_stage(CONVERSATIONS, open_context(tmp_path, wrong))
    assert not run_stage(CONVERSATIONS, open_context(tmp_path, short)), "current, and each stage has what it reads"
    no_pairs = "".join(line for line in short.splitlines(keepends=True) if "likes" not in line)
    without = "".join(line for line in no_pairs.splitlines(keepends=True) if "dpo" not in line)
    assert run_stage(CONVERSATIONS, open_context(tmp_path, without))
    with pytest.raises(DataError, match=r"stage 'dpo' .* reads pairs; there are none in talks \(shape messages\)"):
        run_stage(CONVERSATIONS, open_context(tmp_path, no_pairs))


def test_the_limit_is_that_of_the_smallest_stage_that_reads_the_source(context: Context) -> None:
    talks, likes = context.recipe.conversations
    assert limit_tokens(context.recipe, talks, False) == 48
    assert limit_tokens(context.recipe, likes, True) == 40
    only_dpo = context.recipe.model_copy(update={"train": context.recipe.train[1:]})
    assert limit_tokens(only_dpo, talks, False) == 64, "no stage reads it: what the model can hold"


def test_without_a_vocabulary_the_stage_says_what_makes_one(tmp_path: Path) -> None:
    (tmp_path / "chatty.yaml").write_text(RECIPE)
    with pytest.raises(ArtifactError, match="it is made by: pellucid tokenizer"):
        run_stage(CONVERSATIONS, Context(load_recipe(tmp_path / "chatty.yaml"), tmp_path / "runs" / "chatty"))
