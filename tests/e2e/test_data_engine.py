"""Sources of every kind through every part of the data engine and into training, by the command line."""

import json
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from pellucid.cli.main import main

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "corpora" / "pocket"
QUESTION = "A farmer keeps seventeen geese and twelve ducks beside the mill how many birds does she keep there in all"
ARPA = (
    "\\data\\\nngram 1=5\nngram 2=1\n\n\\1-grams:\n-2\t<unk>\n0\t<s>\t0\n-1\t</s>\n-0.5\tthe\t0\n-0.6\tof\t0\n\n"
    "\\2-grams:\n-0.2\t<s> the\n\n\\end\\\n"
)
RECIPE = """
extends: {smoke}
name: engine
sources:
  - {{name: pages, path: pages/*.jsonl, text_column: body.html, html: true, epochs: 0.5, category: Web, language: en}}
  - {{name: stories, path: stories.parquet, weight: 2, category: Books, language: en, max_epochs: 3,
     clean: [{{step: unicode}}, {{step: perplexity, model: tiny.arpa}}], select: {{by: perplexity, documents: 30}}}}
  - {{name: handbuch, path: de.jsonl.gz, weight: 1, category: Instruction, language: de}}
  - {{name: code, path: code, weight: 1, category: Code, clean: [{{step: unicode}}], fim: {{rate: 0.6, spm_frac: 0.5}}}}
  - {{name: sums, path: sums.json, template: math_word_problems, weight: 1, category: Instruction, language: en, clean: []}}
documents:
  clean:
    - {{step: unicode}}
    - {{step: boilerplate}}
    - {{step: language, keep: [en, de]}}
    - {{step: gopher_quality, min_words: 20, min_stop_words: 1}}
    - {{step: gopher_repetition}}
    - {{step: c4, terminal_punctuation: false, min_sentences: 1}}
    - {{step: fineweb, max_short_line_frac: 0.9, max_newline_word_ratio: 0.6}}
    - {{step: pii}}
  near_dedup: {{}}
  decontaminate: {{benchmarks: [bench/*.jsonl]}}
  keep_dropped: true
  keep_copy: longest
  partition_bytes: 60000
conversations: []
train:
  sft: null
  dpo: null
  self_knowledge: null
  pretrain: {{attention: document, packing: best_fit, length_tokens: 15360, schedule: {{cooldown_steps: 5}}}}
  anneal:
    length_tokens: 5120
    batch_tokens: 1024
    seq_tokens: 128
    micro_seqs: 8
    attention: cross_lingual
    lingual_parts: 2
    weights: {{stories: 1, handbuch: 1, pages: 0, code: 0, sums: 0}}
    schedule: {{kind: constant, peak_lr: 1e-3}}
"""


def texts(name: str, count: int) -> list[str]:
    rows = pq.read_table(POCKET / f"{name}.parquet", columns=["text"])["text"].to_pylist()
    return [text for text in rows if len(text) > 400][:count]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("trafilatura", "kenlm", "fasttext", "eldc", "ftfy"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("engine")
    write_sources(folder)
    (folder / "recipe.yaml").write_text(RECIPE.format(smoke=ROOT / "recipes" / "pocket-smoke.yaml"))
    for stage in ("documents", "tokenizer", "shards", "train"):
        assert main([stage, str(folder / "recipe.yaml"), "--runs", str(folder / "runs")]) == 0
    return folder / "runs" / "engine"


def write_sources(folder: Path) -> None:
    import gzip

    import pyarrow as pa

    english = texts("gnome-help.en", 60)
    pages = [
        {"id": f"p{n}", "body": {"html": f"<nav>Home | Login</nav><article><p>{text.replace(chr(10), '</p><p>')}</p></article>"}}
        for n, text in enumerate(english)
    ]
    pages.append(
        {"id": "p0", "body": {"html": f"<article><p>{english[0]}</p><p>Mail me at jo@corp.org or 93.184.216.34.</p></article>"}}
    )
    pages.append(
        {"id": "planted", "body": {"html": f"<article><p>{english[1]}</p><p>{QUESTION}?</p><p>{english[2]}</p></article>"}}
    )
    (folder / "pages").mkdir()
    lines = [orjson.dumps(page) for page in pages]
    (folder / "pages" / "a.jsonl").write_bytes(b"\n".join([*lines[:40], b"\xff\xfe broken", b'{"body": {"html": [1]}}']))
    (folder / "pages" / "b.jsonl").write_bytes(b"\n".join(lines[40:]))
    stories = [*texts("jane-austen.en", 40), *texts("moby-dick.en", 40)]
    pq.write_table(pa.table({"text": [story[:3000] for story in stories]}), folder / "stories.parquet", row_group_size=10)
    with gzip.open(folder / "de.jsonl.gz", "wb") as file:
        file.write(b"\n".join(orjson.dumps({"text": text}) for text in texts("gnome-help.de", 60)))
    (folder / "code").mkdir()
    for number, text in enumerate(texts("three-js.en", 30)):
        (folder / "code" / f"{number}.md").write_text(text)
    sums = [
        {
            "question": f"Anna has {n} apples and buys {n + 3} more. How many?",
            "answer": f"{n} + {n + 3} = {2 * n + 3}\n#### {2 * n + 3}",
        }
        for n in range(300)
    ]
    (folder / "sums.json").write_bytes(orjson.dumps(sums))
    (folder / "bench").mkdir()
    (folder / "bench" / "birds.jsonl").write_bytes(orjson.dumps({"question": QUESTION + "?", "answer": "29"}))
    (folder / "tiny.arpa").write_text(ARPA)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_every_record_is_accounted_for_in_documents_and_bytes(run: Path) -> None:
    funnel = read(run / "documents" / "funnel.json")["sources"]
    assert {name: source["read"] for name, source in funnel.items()} == {
        "pages": 64,
        "stories": 80,
        "handbuch": funnel["handbuch"]["read"],
        "code": 30,
        "sums": 300,
    }
    for source in funnel.values():
        dropped = source["dropped"].values()
        assert source["read"] == source["kept"] + source["heldout"] + sum(amount["documents"] for amount in dropped)
        written = source["kept_bytes"] + source["heldout_bytes"]
        assert source["read_bytes"] == written + sum(amount["bytes"] for amount in dropped) + source["cleaned_bytes"]
    assert funnel["stories"]["kept"] + funnel["stories"]["heldout"] == 30
    assert {"not utf-8", "text is not a string", "near-duplicate", "contaminated: bench/birds"} <= funnel["pages"]["dropped"].keys()
    (hit,) = read(run / "documents" / "contamination.json")["hits"]
    assert hit["source"] == "pages"
    assert len(list((run / "documents" / "pages" / "corrupt").iterdir())) == 1


def test_personal_data_is_masked_and_the_longer_of_near_copies_stays(run: Path) -> None:
    kept = [
        row
        for file in (run / "documents" / "pages").glob("*/*.parquet")
        if file.parent.name != "dropped"
        for row in pq.read_table(file).to_pylist()
    ]
    (longer,) = [row["text"] for row in kept if "Mail me at" in row["text"]]
    assert "jo@corp.org" not in longer and "93.184.216.34" not in longer
    assert all(row["language"] == "en" for row in kept)


def test_middles_are_filled_in_code_that_is_trained_on_and_nowhere_else(run: Path) -> None:
    marks = {}
    for index in sorted((run / "shards").glob("*/*/index.json")):
        counts = read(index)["special_counts"]
        marks[f"{index.parts[-3]}/{index.parts[-2]}"] = counts["<|fim_middle|>"]
    documents = read(run / "shards" / "code" / "train" / "index.json")["documents"]
    assert 0 < marks["code/train"] < documents
    assert sum(marks.values()) == marks["code/train"]


def test_receipts_of_both_stages_say_what_was_read(run: Path) -> None:
    first, second = (read(run / stage / "receipt.json") for stage in ("pretrain", "anneal"))
    assert first["planned"] == first["consumed"] and second["planned"] == second["consumed"]
    assert first["order"]["packing"] == "best_fit" and second["order"]["attention"] == "cross_lingual"
    assert set(second["consumed"]["sources"]) == {"stories", "handbuch"}
    assert first["consumed"]["sources"]["pages"]["epochs"] == pytest.approx(0.5, rel=0.3)


def test_what_was_dropped_can_be_read_on_the_terminal(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = run.parent.parent / "recipe.yaml"
    assert main(["documents", str(recipe), "--runs", str(run.parent), "--show-dropped", "contaminated"]) == 0
    shown = capsys.readouterr().out
    assert "contaminated: bench/birds" in shown and "planted" in shown


def test_the_stage_is_unchanged_by_who_does_the_work_and_by_weights(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = run.parent.parent / "recipe.yaml"
    changes = ["--set", "documents.workers=2", "--set", "sources.code.weight=9"]
    assert main(["documents", str(recipe), "--runs", str(run.parent), *changes]) == 0
    assert "unchanged" in capfd.readouterr().err
