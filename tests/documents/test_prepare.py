import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.artifacts import Key, building
from pellucid.core.errors import DataError, DiskFullError
from pellucid.core.files import read_json
from pellucid.core.seeds import heldout
from pellucid.documents import prepare
from pellucid.documents.document import digest_text
from pellucid.documents.prepare import SPLITS, prepare_documents
from pellucid.documents.store import DocumentWriter, iter_split
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.documents import DocumentsConfig

MakeSource = Callable[..., SourceConfig]
WriteJsonl = Callable[[Path, list[Any]], Path]

RECORD = st.one_of(
    st.text(max_size=6).map(lambda text: orjson.dumps({"text": text})),
    st.sampled_from(
        [b"{", b'{"text": null}', b'{"text": "\\ud800"}', b'{"id": "x", "text": "same", "language": "fr"}', b"[]", b""]
    ),
)


def texts(out: Path, name: str, split: str) -> list[str]:
    return [document.text for document in iter_split(out, name, split)]


def contents(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


@settings(max_examples=60, deadline=None)
@given(
    sources=st.lists(st.lists(RECORD, min_size=1, max_size=12), min_size=1, max_size=3),
    frac=st.sampled_from([0.0, 0.3, 0.9]),
    min_bytes=st.integers(1, 4),
    max_bytes=st.integers(4, 9),
    dedup=st.booleans(),
)
def test_every_record_is_kept_held_out_or_dropped_and_counted_once(
    sources: list[list[bytes]], frac: float, min_bytes: int, max_bytes: int, dedup: bool
) -> None:
    config = DocumentsConfig(heldout_frac=frac, min_bytes=min_bytes, max_bytes=max_bytes, exact_dedup=dedup, workers=1)
    with tempfile.TemporaryDirectory() as folder:
        base, out = Path(folder), Path(folder) / "out"
        configs = []
        for number, records in enumerate(sources):
            good = [orjson.dumps({"text": f"{number}{n}ü"}) for n in range(len(records))]  # so that no source is mostly unusable
            (base / f"{number}.jsonl").write_bytes(b"\n".join([*records, *good]))
            configs.append(SourceConfig(name=f"s{number}", path=f"{number}.jsonl", weight=1, category="Web"))
        funnel = prepare_documents(configs, base, config, out).as_json()
        assert read_json(out / "funnel.json") == funnel
        seen: Counter[str] = Counter()
        for number, records in enumerate(sources):
            account = funnel["sources"][f"s{number}"]
            assert account["read"] == sum(bool(record.strip()) for record in records) + len(records)
            for unit, key in (("", "documents"), ("_bytes", "bytes")):
                dropped = sum(amount[key] for amount in account["dropped"].values())
                assert account[f"read{unit}"] == account[f"kept{unit}"] + account[f"heldout{unit}"] + dropped
                for split in ("kept", "heldout"):
                    assert account[split + unit] == sum(amount[split + unit] for amount in account["languages"].values())
            for split, name in zip(SPLITS, ("kept", "heldout"), strict=True):
                written = texts(out, f"s{number}", split)
                assert account[name] == len(written)
                assert account[f"{name}_bytes"] == sum(len(text.encode()) for text in written)
                assert all(min_bytes <= len(text.encode()) <= max_bytes for text in written)
                assert all(heldout(digest_text(text), frac) == (split == "heldout") for text in written)
                seen.update(written)
        if dedup:
            assert set(seen.values()) <= {1}


def test_of_equal_texts_the_first_in_recipe_order_stays(tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in ("x", "shared", "x", "y")])
    write_jsonl(tmp_path / "b.jsonl", [{"text": text} for text in ("shared", "z", "y", "z")])
    a, b = make_source("a.jsonl", name="a"), make_source("b.jsonl", name="b")
    config = DocumentsConfig(heldout_frac=0)
    funnel = prepare_documents([a, b], tmp_path, config, tmp_path / "out").as_json()["sources"]
    assert texts(tmp_path / "out", "a", "train") == ["x", "shared", "y"]
    assert texts(tmp_path / "out", "b", "train") == ["z"]
    assert funnel["b"]["dropped"] == {"exact duplicate": {"documents": 3, "bytes": 8}}
    prepare_documents([b, a], tmp_path, config, tmp_path / "turned")
    assert texts(tmp_path / "turned", "b", "train") == ["shared", "z", "y"]
    assert texts(tmp_path / "turned", "a", "train") == ["x"]
    prepare_documents([a, b], tmp_path, DocumentsConfig(heldout_frac=0, exact_dedup=False), tmp_path / "all")
    assert texts(tmp_path / "all", "b", "train") == ["shared", "z", "y", "z"]


def test_workers_change_neither_a_byte_nor_the_funnel(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_PARALLEL_FROM_BYTES", 0)
    sources = []
    for number in range(3):
        write_jsonl(tmp_path / f"{number}.jsonl", [{"text": f"text {n}"} for n in range(number * 20, 100)])
        sources.append(make_source(f"{number}.jsonl", name=f"s{number}"))
    for workers in (1, 2):
        prepare_documents(sources, tmp_path, DocumentsConfig(heldout_frac=0.2, workers=workers), tmp_path / str(workers))
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert read_json(tmp_path / "2" / "funnel.json")["sources"]["s2"]["dropped"]["exact duplicate"]["documents"] == 60


def test_what_a_killed_call_left_is_replaced(tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
    source = make_source("a.jsonl", name="a")
    prepare_documents([source], tmp_path, DocumentsConfig(), tmp_path / "clean")
    for left in ("train/00000.parquet", ".train.parquet.part", "heldout/00000.parquet"):
        (tmp_path / "out" / "a" / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "a" / left).write_bytes(b"half")
    prepare_documents([source], tmp_path, DocumentsConfig(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "clean")


def test_one_bad_source_stops_the_stage_without_a_funnel_and_leaves_the_old_artifact(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
    (tmp_path / "b.txt").write_bytes(b"\xff")
    good, bad = make_source("a.jsonl", name="a"), make_source("b.txt", name="b")
    path = tmp_path / "documents"
    with building(path, Key("documents", 1, 0, {"version": 1})) as build:
        prepare_documents([good], tmp_path, DocumentsConfig(), build.path)
    whole = contents(path)
    with (
        pytest.raises(DataError, match=r"b\.txt, which is not UTF-8"),
        building(path, Key("documents", 1, 0, {"version": 2})) as build,
    ):
        prepare_documents([good, bad], tmp_path, DocumentsConfig(), build.path)
    assert contents(path) == whole
    assert not (build.path / "funnel.json").exists()


def test_a_full_disk_is_explained_and_the_old_artifact_stays(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: DocumentWriter) -> None:
        raise OSError(28, "No space left on device")

    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
    monkeypatch.setattr(DocumentWriter, "_flush", full)
    with (
        pytest.raises(DiskFullError, match=r"no room left while writing .*documents"),
        building(tmp_path / "documents", Key("documents", 1, 0, {})) as build,
    ):
        prepare_documents([make_source("a.jsonl")], tmp_path, DocumentsConfig(), build.path)
    assert not (tmp_path / "documents").exists()
