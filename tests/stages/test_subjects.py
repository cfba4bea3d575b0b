import json
import shutil
from pathlib import Path

import pytest
import torch

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.evals.subject import Decoding, Pair
from pellucid.stages.subjects import find_target, is_url, load_step, open_model, vocabulary_beside
from pellucid.tokenizer.from_sentencepiece import SentencePieceTokenizer, import_sentencepiece

PAIRS = [Pair("The right to", " education"), Pair("The right to", " work"), Pair("", "Die Würde")]


def test_a_run_is_its_newest_checkpoint_and_its_results_lie_in_it(finished_run: Path) -> None:
    target = find_target(finished_run)
    assert target.run == finished_run
    assert target.label.startswith("self_knowledge-step-")
    assert target.results("0") == finished_run / "evals" / target.label


def test_a_stage_and_a_checkpoint_are_found_inside_their_run(finished_run: Path) -> None:
    by_stage, by_checkpoint = (
        find_target(path) for path in (finished_run / "pretrain", finished_run / "pretrain/checkpoints/step-00000030")
    )
    assert by_stage.label == by_checkpoint.label == "pretrain-step-00000030"
    assert by_stage.weights.resolve() == by_checkpoint.weights.resolve()
    assert by_checkpoint.run is not None and by_checkpoint.run.resolve() == finished_run.resolve()


def test_a_base_model_has_no_chat_format_and_a_tuned_one_has(finished_run: Path) -> None:
    base, tuned = open_model(find_target(finished_run / "pretrain")), open_model(find_target(finished_run))
    assert base.chat_format is None and tuned.chat_format is not None
    assert base.identity["step"] == 30 and base.identity["chat_template"] is None and base.first_id is None
    assert base.label == f"{finished_run.name} pretrain-step-00000030"
    (answer,) = tuned.chat([[{"role": "user", "content": "Hello"}]], Decoding(max_new_tokens=3), [1])
    assert answer.new_tokens <= 3


@pytest.mark.parametrize(
    ("place", "label", "kind"), [("hf", "hf", "huggingface"), ("gguf/model-F16.gguf", "gguf-F16", "gguf")], ids=["hf", "gguf"]
)
def test_an_export_scores_as_the_checkpoint_that_it_came_from(finished_run: Path, place: str, label: str, kind: str) -> None:
    checkpoint = open_model(find_target(finished_run))
    target = find_target(finished_run / "exports" / place)
    assert target.label == f"export-{label}"
    export = open_model(target)
    assert export.identity["kind"] == kind
    assert export.chat_format is not None
    # Our vocabularies begin a text with the end of another, and nothing is put before it twice.
    assert export.first_id == checkpoint.tokenizer.eos_id and not export.begins_texts
    # The GGUF file holds 16 bits of every weight.
    for ours, theirs in zip(checkpoint.loglikelihoods(PAIRS), export.loglikelihoods(PAIRS), strict=True):
        assert theirs.nats == pytest.approx(ours.nats, abs=1e-4 if label == "hf" else 2e-2)
        assert theirs.tokens == ours.tokens


def test_of_several_gguf_files_one_has_to_be_named(finished_run: Path) -> None:
    folder = finished_run / "exports" / "gguf"
    with pytest.raises(UsageError, match=r"holds 2 GGUF files \(model-F16.gguf, model-Q8_0.gguf\); give one of them, for example"):
        find_target(folder)
    assert find_target(folder / "model-Q8_0.gguf").label == "export-gguf-Q8_0"


def test_a_model_outside_of_a_run_is_known_by_its_folder(finished_run: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_run / "exports" / "hf", tmp_path / "my-model")
    target = find_target(tmp_path / "my-model")
    assert (target.run, target.label) == (None, "my-model")
    assert target.results("0123456789ab") == Path("evals/my-model-01234567")
    (tmp_path / "my-model" / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"tokenizer\.json"):
        open_model(target)


def test_what_cannot_be_evaluated_is_said(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing that can be evaluated"):
        find_target(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        find_target(tmp_path / "no-such-file.gguf")
    shutil.copytree(finished_run / "pretrain/checkpoints/step-00000030", tmp_path / "step-00000030")
    with pytest.raises(UsageError, match="nothing that can be evaluated"):
        find_target(tmp_path / "step-00000030")
    (tmp_path / "recipe.resolved.yaml").write_bytes((finished_run / "recipe.resolved.yaml").read_bytes())
    with pytest.raises(ArtifactError, match="no checkpoint"):
        find_target(tmp_path)


def test_names() -> None:
    assert is_url("http://127.0.0.1:1") and is_url("https://a.b/v1") and not is_url("runs/pocket")
    assert load_step(Path("a/step-00000120")) == 120
    assert load_step(Path("a/last-2")) is None


def test_an_average_of_a_base_stage_continues_text(run_copy: Path) -> None:
    average = run_copy / "averages" / "pretrain-last-2" / "step-00000030"
    shutil.copytree(run_copy / "pretrain/checkpoints/step-00000030", average)
    target = find_target(average)
    assert target.label == "averages-pretrain-last-2-step-00000030"
    assert open_model(target).chat_format is None


def test_where_the_vocabulary_begins_texts_they_begin_so(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "begun"
    shutil.copytree(finished_run / "exports" / "hf", folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"add_bos_token": True, "bos_token": "<|im_start|>"}))
    begun, plain = open_model(find_target(folder)), open_model(find_target(finished_run / "exports" / "hf"))
    first = plain.tokenizer.special["<|im_start|>"]
    assert begun.first_id == first and begun.begins_texts
    assert begun.identity["vocabulary"] != plain.identity["vocabulary"]
    with torch.no_grad():
        ids = torch.tensor([[first, *plain.tokenizer.encode(PAIRS[0].context + PAIRS[0].continuation)]])
        logits_TV = plain.model.logits(plain.model(ids))[0].double()
    scored = len(ids[0]) - 1 - len(plain.tokenizer.encode(PAIRS[0].context))
    nats = -torch.log_softmax(logits_TV[-scored - 1 : -1], -1)[torch.arange(scored), ids[0, -scored:]].sum().item()
    assert begun.loglikelihoods(PAIRS[:1])[0].nats == pytest.approx(nats, abs=1e-4)
    assert begun.complete(["The"], Decoding(max_new_tokens=1), [1])[0].prompt_tokens == 1 + len(plain.tokenizer.encode("The"))


def test_an_export_of_a_sentencepiece_vocabulary_is_read_by_the_model_that_training_used(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    with (tmp_path / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["the river bed", "the other bed"] * 9), model_writer=file, model_type="bpe", vocab_size=290,
            byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2, num_threads=1,
        )  # fmt: skip
    trained = import_sentencepiece(tmp_path, None)
    trained.save_for_transformers(tmp_path / "export", 64)
    (tmp_path / "export/config.json").write_text("{}")
    assert (tmp_path / "export/tokenizer.json").is_file()
    read = vocabulary_beside(tmp_path / "export").tokenizer
    assert isinstance(read, SentencePieceTokenizer)
    assert read.encode(" the bed") == trained.encode(" the bed")
