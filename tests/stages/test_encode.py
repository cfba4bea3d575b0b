"""Shards by any number of processes, killed and continued: always the same bytes."""

import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from pellucid.core.artifacts import Key, building
from pellucid.core.errors import UsageError
from pellucid.documents.document import Document
from pellucid.documents.store import DocumentWriter, iter_split
from pellucid.recipe.load import load_recipe
from pellucid.shards.stream import TokenStream
from pellucid.shards.writer import write_part
from pellucid.stages import encode
from pellucid.stages.shards import SHARDS
from pellucid.stages.stage import Context, run_stage
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.from_huggingface import import_huggingface
from pellucid.tokenizer.from_sentencepiece import import_sentencepiece
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.tokenizer.training import train_bpe

SOURCES = {"code": "fim: {rate: 0.7, spm_frac: 0.5}", "web": "", "empty": ""}
RECIPE = """\
seed: 3
sources:
{sources}
documents: {{workers: {workers}}}
tokenizer: {{kind: bpe, vocab_tokens: 1024}}
shards: {{shard_tokens: 5000, max_special_frac: 0.5}}
model: {{preset: pocket}}
train:
  - name: pretrain
    length_tokens: 4096
    batch_tokens: 4096
    seq_tokens: 256
    micro_seqs: 16
    schedule: {{kind: constant, peak_lr: 1e-3}}
"""


def make_run(folder: Path, tokenizer: Tokenizer, *, workers: int = 1, fim: bool = True) -> Context:
    """A run whose documents lie in several files per split, with its tokenizer, ready for shards."""
    lines = "\n".join(
        f"  - {{name: {name}, path: {name}.jsonl, weight: 1, category: Code{', ' + more if more and fim else ''}}}"
        for name, more in SOURCES.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(sources=lines, workers=workers))
    run = folder / "run"
    if not run.exists():
        stdlib = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        with building(run / "documents", Key("documents", 1, 0, {})) as build:
            for source, (first, last) in {"code": (0, 24), "web": (24, 48), "empty": (0, 0)}.items():
                for split, files in (("train", 4), ("heldout", 1)):
                    for number in range(files):
                        with DocumentWriter(build.path / source / split / f"{number:05d}.parquet") as writer:
                            for path in stdlib[first:last][number::files] if split == "train" else stdlib[first:last][:2]:
                                text = path.read_text(encoding="utf-8")[:9000]
                                digest = sha256(text.encode()).hexdigest()
                                writer.write(Document(path.name, text, source, "en", "PSF", "stdlib", digest))
        with building(run / "tokenizer", Key("tokenizer", 1, 0, {})) as build:
            tokenizer.save(build.path)
    return Context(load_recipe(folder / "recipe.yaml"), run)


@pytest.fixture(scope="module")
def small_tokenizer() -> BytePairTokenizer:
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:20]]
    return train_bpe(texts, 1024)


@pytest.fixture(scope="module")
def plain(small_tokenizer: BytePairTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards made by one process without interruption."""
    context = make_run(tmp_path_factory.mktemp("plain"), small_tokenizer)
    assert run_stage(SHARDS, context)
    return context.run / "shards"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def test_two_processes_write_the_same_bytes_as_one(
    plain: Path, small_tokenizer: BytePairTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "_PARALLEL_FROM_BYTES", 0)
    context = make_run(tmp_path, small_tokenizer, workers=2)
    run_stage(SHARDS, context)
    assert contents(context.run / "shards") == contents(plain)
    assert "parts" not in {path.name for path in plain.rglob("*")}


def test_all_documents_and_tokens_are_those_of_encoding_everything_at_once(plain: Path, small_tokenizer: BytePairTokenizer) -> None:
    documents = plain.parent / "documents"
    for source in ("web", "empty"):
        for split in ("train", "heldout"):
            texts = [document.text for document in iter_split(documents, source, split)]
            expected = [id_ for text in texts for id_ in (*small_tokenizer.encode(text), small_tokenizer.eos_id)]
            stream = TokenStream(plain / source / split)
            assert stream.read(0, stream.tokens).tolist() == expected
            assert (stream.documents, stream.index.text_bytes) == (len(texts), sum(len(text.encode()) for text in texts))
            ids = [document.id for document in iter_split(documents, source, split)]
            assert [row["id"] for row in stream.metadata(range(len(texts)))] == ids
            assert stream.index.fim_documents == {}
    files = [file.name for file in TokenStream(plain / "web" / "train").index.files]
    assert files[:2] == ["00000.bin", "00000_00001.bin"] and files == sorted(files) and "00003.bin" in files


def test_training_documents_of_the_source_are_rearranged_for_fill_in_the_middle_and_come_back(
    plain: Path, small_tokenizer: BytePairTokenizer
) -> None:
    stream = TokenStream(plain / "code" / "train")
    prefix, middle, suffix = (small_tokenizer.special[f"<|fim_{part}|>"] for part in ("prefix", "middle", "suffix"))
    forms = {"psm": 0, "spm": 0}
    for number, document in enumerate(iter_split(plain.parent / "documents", "code", "train")):
        start, end = int(stream.document_starts[number]), int(stream.document_starts[number + 1])
        ids = stream.read(start, end - start - 1).tolist()
        if ids[0] != prefix:
            assert small_tokenizer.decode(ids) == document.text
            continue
        to_suffix, to_middle = ids.index(suffix), ids.index(middle)
        forms["spm" if to_suffix == 1 else "psm"] += 1
        parts = ids[1:to_suffix], ids[to_middle + 1 :], ids[to_suffix + 1 : to_middle]
        assert small_tokenizer.decode_bytes([id_ for part in parts for id_ in part]).decode() == document.text
    assert stream.index.fim_documents == forms and min(forms.values()) > 0
    for name in ("prefix", "middle", "suffix"):
        assert stream.index.special_counts[f"<|fim_{name}|>"] == sum(forms.values())
    assert TokenStream(plain / "code" / "heldout").index.fim_documents == {}


def test_fim_changes_no_other_source_and_no_heldout_text(small_tokenizer: BytePairTokenizer, plain: Path, tmp_path: Path) -> None:
    context = make_run(tmp_path, small_tokenizer, fim=False)
    run_stage(SHARDS, context)
    without, with_ = contents(context.run / "shards"), contents(plain)
    assert {name for name in with_ if with_[name] != without.get(name)} | (with_.keys() ^ without.keys()) <= {
        name for name in with_.keys() | without.keys() if name.startswith("code/train/")
    }


# Ends the whole process group after the given number of finished parts, or in the middle of the next one.
KILLER = """
import os, signal, sys
from pathlib import Path
from pellucid.core.processes import run_tasks
from pellucid.recipe.load import load_recipe
from pellucid.shards import writer
from pellucid.stages import encode
from pellucid.stages.shards import SHARDS
from pellucid.stages.stage import Context, run_stage

folder, last, where = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
write_json, write = writer.write_json, writer.TokenFiles.write
encode._PARALLEL_FROM_BYTES = 0

def done():
    return len(list((folder / "run").glob(".shards.part/*/*/parts/*.json")))

def account(path, value):
    write_json(path, value)
    if where == "after" and done() >= last:
        os.killpg(0, signal.SIGKILL)

def tokens(self, ids, ends):
    write(self, ids, ends)
    if where == "inside" and done() >= last:
        self._file and self._file.flush()
        os.killpg(0, signal.SIGKILL)

writer.write_json, writer.TokenFiles.write = account, tokens
if __name__ == "__main__":
    run_stage(SHARDS, Context(load_recipe(folder / "recipe.yaml"), folder / "run"))
"""


@pytest.mark.parametrize(("last", "where", "workers"), [(3, "after", 1), (2, "inside", 1), (3, "inside", 2)])
def test_after_a_kill_only_what_is_missing_is_written_and_the_bytes_are_the_same(
    plain: Path,
    small_tokenizer: BytePairTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last: int,
    where: str,
    workers: int,
) -> None:
    context = make_run(tmp_path, small_tokenizer, workers=workers)
    (tmp_path / "killer.py").write_text(KILLER)
    command = [sys.executable, str(tmp_path / "killer.py"), str(tmp_path), str(last), where]
    ended = subprocess.run(command, start_new_session=True, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    part = context.run / ".shards.part"
    finished = {path: path.stat().st_mtime_ns for path in part.glob("*/*/*.bin") if account_of(path).is_file()}
    assert len({account_of(path) for path in finished}) >= last and not (context.run / "shards").exists()
    written: list[Path] = []
    monkeypatch.setattr(
        encode,
        "write_part",
        lambda documents, coding, config, out, name: (written.append(out / name), write_part(documents, coding, config, out, name))[
            1
        ],
    )
    run_stage(SHARDS, context)
    assert contents(context.run / "shards") == contents(plain)
    done_before = {account_of(path) for path in finished}
    assert not {out.parent / "parts" / f"{out.name}.json" for out in written} & done_before
    for path, time in finished.items():
        assert (context.run / "shards" / path.relative_to(part)).stat().st_mtime_ns == time


def account_of(file: Path) -> Path:
    return file.parent / "parts" / f"{file.stem.split('_')[0]}.json"


def test_half_written_and_deleted_pieces_are_made_again(
    plain: Path, small_tokenizer: BytePairTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_run(tmp_path, small_tokenizer)
    joined = encode.join_split
    monkeypatch.setattr(encode, "join_split", lambda split: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_stage(SHARDS, context)
    part = context.run / ".shards.part"
    (part / "web/train/00001.bin").unlink()
    (part / "web/train/parts/00002.json").unlink()
    (part / "web/train/00002_00007.bin").write_bytes(b"left over")
    (part / "code/train/00000.bin").write_bytes((part / "code/train/00000.bin").read_bytes()[:-2])
    (part / "code/train/parts/00001.npy").write_bytes(b"")
    (part / "code/heldout/parts/00000.parquet").write_bytes(b"PAR1")
    (part / "web/heldout/parts/00000.json").write_bytes(b"{")
    monkeypatch.setattr(encode, "join_split", joined)
    run_stage(SHARDS, context)
    assert contents(context.run / "shards") == contents(plain)


def test_a_kill_between_joining_and_sealing_leaves_nothing_behind(
    plain: Path, small_tokenizer: BytePairTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_run(tmp_path, small_tokenizer)
    with monkeypatch.context() as patch:
        patch.setattr("pellucid.shards.join.shutil", SimpleNamespace(rmtree=lambda *_, **__: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            run_stage(SHARDS, context)
    assert (context.run / ".shards.part/code/train/index.json").is_file()
    run_stage(SHARDS, context)
    assert contents(context.run / "shards") == contents(plain)


def test_a_vocabulary_without_tokens_for_fill_in_the_middle_is_told_before_anything_is_written(
    small_tokenizer: BytePairTokenizer, tmp_path: Path
) -> None:
    special = {name: id_ for name, id_ in small_tokenizer.special.items() if not name.startswith("<|fim")}
    context = make_run(tmp_path, BytePairTokenizer(small_tokenizer.ranks, special, "bpe"))
    with pytest.raises(UsageError, match=r"sources\[code\]\.fim: the vocabulary has no special tokens for it"):
        run_stage(SHARDS, context)
    assert not list((context.run / ".shards.part").glob("*/*/*.bin"))


FIM = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]


def sentencepieces(folder: Path, *, prefix: bool) -> Tokenizer:
    """A SentencePiece vocabulary of Llama 2's kind, with the tokens for fill-in-the-middle."""
    sentencepiece = pytest.importorskip("sentencepiece")
    with (folder / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(Path(__file__).read_text().splitlines()), model_writer=file, model_type="bpe", vocab_size=400,
            hard_vocab_limit=False, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
            add_dummy_prefix=prefix, control_symbols=FIM, minloglevel=2, num_threads=1,
        )  # fmt: skip
    return import_sentencepiece(folder, None)


def huggingface(folder: Path, *, prefix: bool) -> Tokenizer:
    """A byte-level tokenizer.json, as GPT-2's or as RoBERTa's, which puts a space before text."""
    tokenizers = pytest.importorskip("tokenizers")
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    inner.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>", *FIM], initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([Path(__file__).read_text()], trainer)
    inner.save(str(folder / "tokenizer.json"))
    return import_huggingface(folder, "<|endoftext|>")


@pytest.mark.parametrize("make", [sentencepieces, huggingface])
def test_a_vocabulary_that_puts_a_space_before_text_is_refused_for_fill_in_the_middle_and_one_that_does_not_is_taken(
    tmp_path: Path, make: Callable[..., Tokenizer]
) -> None:
    context = make_run(tmp_path / "with", make(tmp_path, prefix=True))
    with pytest.raises(UsageError, match=r"sources\[code\]\.fim: .* encoded in three parts comes back as"):
        run_stage(SHARDS, context)
    assert not list((context.run / ".shards.part").glob("*/*/*.bin"))
    context = make_run(tmp_path / "without", make(tmp_path, prefix=False))
    assert run_stage(SHARDS, context)
    assert sum(TokenStream(context.run / "shards" / "code" / "train").index.fim_documents.values()) > 0
