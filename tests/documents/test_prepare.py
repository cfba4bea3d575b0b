import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.artifacts import Key, building
from pellucid.core.errors import DataError, DiskFullError, PellucidError
from pellucid.core.files import read_json
from pellucid.core.processes import end_workers
from pellucid.core.seeds import heldout
from pellucid.documents import prepare
from pellucid.documents.document import digest_text
from pellucid.documents.pipeline.clean import CleanTask, clean_partition
from pellucid.documents.pipeline.dropped import iter_dropped
from pellucid.documents.pipeline.partition import find_partitions
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


@settings(max_examples=25, deadline=None)
@given(
    sources=st.lists(st.lists(RECORD, min_size=1, max_size=12), min_size=1, max_size=3),
    frac=st.sampled_from([0.0, 0.3, 0.9]),
    min_bytes=st.integers(1, 4),
    max_bytes=st.integers(4, 9),
    dedup=st.booleans(),
    partition_bytes=st.sampled_from([60, 10**6]),
)
def test_every_record_is_kept_held_out_or_dropped_and_counted_once(
    sources: list[list[bytes]], frac: float, min_bytes: int, max_bytes: int, dedup: bool, partition_bytes: int
) -> None:
    config = DocumentsConfig(
        heldout_frac=frac,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        exact_dedup=dedup,
        partition_bytes=partition_bytes,
        workers=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        base, out = Path(folder), Path(folder) / "out"
        configs = []
        for number, records in enumerate(sources):
            good = [orjson.dumps({"text": f"{number}{n}ü"}) for n in range(len(records))]  # so that no source is mostly unusable
            (base / f"{number}.jsonl").write_bytes(b"\n".join([*records, *good]))
            configs.append(SourceConfig(name=f"s{number}", path=f"{number}.jsonl", weight=1, category="Web"))
        funnel = prepare_documents(configs, base, config, out).as_json()
        assert read_json(out / "funnel.json") == funnel
        assert [file for file in out.iterdir() if file.name.startswith(".")] == []
        seen: Counter[str] = Counter()
        for number, records in enumerate(sources):
            account = funnel["sources"][f"s{number}"]
            assert account["read"] == sum(bool(record.strip()) for record in records) + len(records)
            assert account["cleaned_bytes"] == 0
            for unit, key in (("", "documents"), ("_bytes", "bytes")):
                dropped = sum(amount[key] for amount in account["dropped"].values())
                assert account[f"read{unit}"] == account[f"kept{unit}"] + account[f"heldout{unit}"] + dropped
                for split in ("kept", "heldout"):
                    assert account[split + unit] == sum(amount[split + unit] for amount in account["languages"].values())
            assert sum(account["lengths"].values()) == account["kept"] + account["heldout"]
            ids = [document.id for split in SPLITS for document in iter_split(out, f"s{number}", split)]
            assert len(ids) == len(set(ids))
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


WHOLE = {
    "heldout_frac": 0.2,
    "partition_bytes": 20_000,
    "clean": [{"step": "unicode"}, {"step": "gopher_repetition"}],
    "near_dedup": {},
    "decontaminate": {"benchmarks": ["benchmark.jsonl"]},
    "keep_dropped": True,
}
QUESTION = "A farmer keeps seventeen geese and twelve ducks beside the mill how many birds does she keep there in all"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources of real text in three languages, with repeated texts, near copies, a planted question and broken records."""
    folder = tmp_path_factory.mktemp("corpus")
    pocket = Path(__file__).parents[2] / "corpora" / "pocket"
    texts = []
    for file in sorted(pocket.glob("gnome-help.*.parquet"))[:3]:
        texts += [text for text in pq.read_table(file, columns=["text"])["text"].to_pylist()[:40] if len(text) > 300]
    near = [text.replace("the", "this", 1) + " etc." for text in texts[:10]]
    planted = f"{texts[3]}\n{QUESTION.upper()}?\n{texts[4]}"
    records = [orjson.dumps({"id": f"{n % 7}", "text": text}) for n, text in enumerate([*texts, *near, planted, *texts[5:9]])]
    records.insert(3, b'{"text": "cut')
    records.insert(9, b'{"text": null}')
    thirds = len(records) // 3
    for number in range(3):
        (folder / f"{number}.jsonl").write_bytes(b"\n".join(records[number * thirds : (number + 1) * thirds + number // 2 * 9]))
    (folder / "benchmark.jsonl").write_bytes(orjson.dumps({"question": QUESTION + "?", "answer": "29"}))
    return folder


def sources_of(folder: Path) -> list[SourceConfig]:
    return [SourceConfig(name=f"s{number}", path=f"{number}.jsonl", weight=1, category="Web") for number in range(3)]


def prepare_whole(folder: Path, out: Path, **fields: Any) -> dict[str, bytes]:
    prepare_documents(sources_of(folder), folder, DocumentsConfig.model_validate({**WHOLE, **fields}), out, seed=1)
    return contents(out)


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return prepare_whole(corpus, tmp_path_factory.mktemp("whole"), workers=1)


def test_each_way_of_dropping_is_seen_counted_and_can_be_read(corpus: Path, tmp_path: Path) -> None:
    prepare_whole(corpus, tmp_path, workers=1)
    funnel = read_json(tmp_path / "funnel.json")["sources"]
    reasons: Counter[str] = Counter()
    for name, account in funnel.items():
        dropped = sum(amount["documents"] for amount in account["dropped"].values())
        dropped_bytes = sum(amount["bytes"] for amount in account["dropped"].values())
        assert account["read"] == account["kept"] + account["heldout"] + dropped
        written = account["kept_bytes"] + account["heldout_bytes"]
        assert account["read_bytes"] == written + dropped_bytes + account["cleaned_bytes"]
        rows = list(iter_dropped(tmp_path, name))
        assert Counter(row["reason"] for row in rows) == {why: amount["documents"] for why, amount in account["dropped"].items()}
        assert sum(row["bytes"] for row in rows) == dropped_bytes
        reasons.update(row["reason"] for row in rows)
    assert reasons["exact duplicate"] == 4 and reasons["near-duplicate"] >= 9
    assert reasons["invalid json"] == 1 and reasons["no text"] == 1
    assert sum(count for reason, count in reasons.items() if reason.startswith("contaminated: ")) == 1
    (hit,) = read_json(tmp_path / "contamination.json")["hits"]
    assert hit["source"] == "s2" and "seventeen" in str(hit).lower()


def test_workers_change_neither_a_byte_nor_the_funnel(
    corpus: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_PARALLEL_CLEANING_FROM_BYTES", 0)
    monkeypatch.setattr(prepare, "_PARALLEL_FROM_DOCUMENTS", 0)
    assert prepare_whole(corpus, tmp_path, workers=2) == whole


@pytest.mark.usefixtures("local_ray")
def test_ray_changes_neither_a_byte_nor_the_funnel(corpus: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    assert prepare_whole(corpus, tmp_path, engine="ray", workers=2) == whole


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_prepare import prepare_whole
from pellucid.documents import prepare
import os, signal
done = 0
original = prepare.run_tasks
def run_tasks(function, tasks, *rest, **options):
    global done
    for result in original(function, tasks, *rest, **options):
        done += 1
        if done == {after}:
            os.kill(os.getpid(), signal.SIGKILL)
        yield result
prepare.run_tasks = run_tasks
prepare_whole(Path({corpus!r}), Path({out!r}), workers=1)
"""


def test_what_was_killed_anywhere_goes_on_to_the_same_bytes_and_does_only_what_is_missing(
    corpus: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for after in (2, 5, 8):
        program = KILLED.format(tests=str(Path(__file__).parent), after=after, corpus=str(corpus), out=str(tmp_path))
        killed = subprocess.run([sys.executable, "-c", program], capture_output=True)
        assert killed.returncode == -9, killed.stderr
    cleaned = len([file for file in (tmp_path / ".work.part" / "cleaned").iterdir() if file.name[0] != "."])
    assert cleaned > 2
    (tmp_path / ".work.part" / "cleaned" / ".00099.part").mkdir()
    done: list[str] = []
    original = prepare.run_tasks

    def counted(function: Callable[[Any], Any], tasks: list[Any], *rest: Any, **options: Any) -> Any:
        done.extend(function.__name__ for _ in tasks)
        return original(function, tasks, *rest, **options)

    monkeypatch.setattr(prepare, "run_tasks", counted)
    assert prepare_whole(corpus, tmp_path, workers=1) == whole
    partitions = len(find_partitions(sources_of(corpus), corpus, WHOLE["partition_bytes"]))
    assert done.count("clean_partition") == partitions - cleaned


def clean_or_die(task: CleanTask) -> None:
    if any("1.jsonl" in piece.name for piece in task.partition.pieces):
        os.kill(os.getpid(), signal.SIGKILL)
    clean_partition(task)


def test_a_partition_that_always_crashes_is_named_the_others_are_kept_and_the_next_run_does_only_it(
    corpus: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # workers import this file by its full name
    monkeypatch.setattr(prepare, "_PARALLEL_CLEANING_FROM_BYTES", 0)
    end_workers()
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "clean_partition", clean_or_die)
        with pytest.raises(
            PellucidError, match=r"a worker process was killed over each of these[\s\S]*source s1, part 0 \(1\.jsonl\)"
        ):
            prepare_whole(corpus, tmp_path, workers=2)
    end_workers()
    partitions = find_partitions(sources_of(corpus), corpus, WHOLE["partition_bytes"])
    crashing = [one.name for one in partitions if one.source.name == "s1"]
    cleaned = {folder.name for folder in (tmp_path / ".work.part" / "cleaned").iterdir() if folder.name[0] != "."}
    assert cleaned == {one.name for one in partitions} - set(crashing) and crashing
    assert prepare_whole(corpus, tmp_path, workers=2) == whole


def test_a_random_subset_is_the_same_each_time_and_mostly_stays_when_the_source_grows(tmp_path: Path) -> None:
    records = [orjson.dumps({"text": f"text number {n}"}) for n in range(400)]
    chosen = []
    for size in (300, 300, 400):
        (tmp_path / "a.jsonl").write_bytes(b"\n".join(records[:size]))
        source = SourceConfig(name="a", path="a.jsonl", weight=1, category="Web", select={"documents": 100})
        out = tmp_path / f"{len(chosen)}"
        funnel = prepare_documents([source], tmp_path, DocumentsConfig(heldout_frac=0, partition_bytes=999), out, seed=3).as_json()
        assert funnel["sources"]["a"]["dropped"]["not selected"]["documents"] == size - 100
        chosen.append(set(texts(out, "a", "train")))
    assert chosen[0] == chosen[1] and len(chosen[0]) == 100
    assert 55 <= len(chosen[0] & chosen[2]) < 100


def test_what_a_subset_leaves_out_stays_in_another_source_that_has_it_too(tmp_path: Path) -> None:
    for name, own in (("a", ["t1", "t2", "t3", "t2"]), ("b", ["t1", "t2", "t3", "u"])):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(orjson.dumps({"text": text}) for text in own))
    a = SourceConfig(name="a", path="a.jsonl", weight=1, category="Web", select={"documents": 1})
    b = SourceConfig(name="b", path="b.jsonl", weight=1, category="Web")
    funnel = prepare_documents([a, b], tmp_path, DocumentsConfig(heldout_frac=0), tmp_path / "out").as_json()["sources"]
    (chosen,) = texts(tmp_path / "out", "a", "train")
    assert sorted([chosen, *texts(tmp_path / "out", "b", "train")]) == ["t1", "t2", "t3", "u"]
    counts = {reason: amount["documents"] for reason, amount in funnel["a"]["dropped"].items()}
    assert counts in ({"not selected": 3}, {"not selected": 2, "exact duplicate": 1})
    assert funnel["b"]["dropped"]["exact duplicate"]["documents"] == 1


def test_a_source_may_be_called_work(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "x"}')
    work = SourceConfig(name="work", path="a.jsonl", weight=1, category="Web")
    prepare_documents([work], tmp_path, DocumentsConfig(heldout_frac=0), tmp_path / "out")
    assert texts(tmp_path / "out", "work", "train") == ["x"]


def test_a_kill_while_the_finished_work_is_taken_away_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": f"x {n}"} for n in range(20)])
    source, config = make_source("a.jsonl", name="a"), DocumentsConfig(partition_bytes=100)
    prepare_documents([source], tmp_path, config, tmp_path / "whole")
    out = tmp_path / "out"

    rmtree = shutil.rmtree

    def half(path: Path, *rest: Any, **options: Any) -> None:
        if "done" not in path.name or not path.exists():
            return rmtree(path, *rest, **options)
        next(path.rglob("*.npy")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with pytest.raises(KeyboardInterrupt):
            prepare_documents([source], tmp_path, config, out)
    assert (out / "funnel.json").exists()
    prepare_documents([source], tmp_path, config, out)
    left = {name: data for name, data in contents(out).items() if not name.startswith(".")}
    assert left == contents(tmp_path / "whole")


def test_a_subset_by_bytes_keeps_no_more_than_that(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(orjson.dumps({"text": "x" * n}) for n in range(1, 60)))
    source = SourceConfig(name="a", path="a.jsonl", weight=1, category="Web", select={"bytes": 500})
    account = prepare_documents([source], tmp_path, DocumentsConfig(heldout_frac=0), tmp_path / "out").as_json()["sources"]["a"]
    assert 400 < account["kept_bytes"] <= 500


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
