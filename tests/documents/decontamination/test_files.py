"""Files of benchmarks in the layouts in which they are published → items; what cannot be read is said with its place."""

import bz2
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import DataError
from pellucid.documents.decontamination.files import find_benchmarks, name_benchmarks, read_benchmarks, read_items

BENCH = Path(__file__).resolve().parents[4] / "shared/data/bench"

RECORDS = [
    {"question": "Who wrote Emma?", "choices": ["Austen", "Melville"]},
    {"question": "Where is Ghent?", "choices": ["Belgium"]},
]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    if ".jsonl" in name:
        data = lines.encode()
    elif ".json" in name:
        data = json.dumps(RECORDS).encode()
    else:
        pq.write_table(pa.Table.from_pylist(RECORDS), path)
        return path
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else bz2.compress(data) if name.endswith(".bz2") else data)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json.bz2", "a.json", "a.parquet"])
def test_the_same_records_in_any_format_give_the_same_items(name: str, tmp_path: Path) -> None:
    items = read_items(write(tmp_path, name), "emma")
    assert [(item.number, item.questions[0], item.answers) for item in items] == [
        (0, "Who wrote Emma?", ("Austen", "Melville")),
        (1, "Where is Ghent?", ("Belgium",)),
    ]


def test_csv_with_a_header_and_mmlu_without_one_are_read_alike(tmp_path: Path) -> None:
    row = '"What, then?",one,two,three,four,'
    (tmp_path / "with.csv").write_text(f"question,choice0,choice1,choice2,choice3,answer\n{row}1\n")
    (tmp_path / "without.csv").write_text(f"{row}B\n")
    with_header, without = (read_items(tmp_path / f"{name}.csv", "mmlu")[0] for name in ("with", "without"))
    assert with_header.questions == without.questions
    assert "What, then? A. one B. two C. three D. four" in with_header.questions


def test_text_is_read_as_hellaswag_as_paragraphs_or_as_lines(tmp_path: Path) -> None:
    layouts = {
        "hellaswag": ("A man sits. he\n1\nflies.\nstands up.\nsings.\nmelts.\n", ["A man sits. he", "A man sits. he flies."]),
        "paragraphs": ("One\ntwo.\n\nThree.\n", ["One\ntwo."]),
        "lines": ("One.\nTwo.\n", ["One."]),
    }
    for name, (text, questions) in layouts.items():
        (tmp_path / f"{name}.txt").write_text(text)
        assert list(read_items(tmp_path / f"{name}.txt", name)[0].questions[: len(questions)]) == questions


def test_a_list_inside_an_object_is_read_and_its_canary_is_an_item_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"canary": "never in training data", "examples": [{"input": "not True is", "target": "False"}]}))
    assert [item.questions for item in read_items(path, "bbh")] == [("not True is",), ("never in training data",)]


def test_benchmarks_are_named_by_as_much_of_their_path_as_tells_them_apart(tmp_path: Path) -> None:
    for name in ("gsm8k/test.jsonl", "arc/easy/test.jsonl", "mmlu/easy/test.jsonl", "mmlu/easy/test.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write((tmp_path / name).parent, Path(name).name)
    items = read_benchmarks(("**/*.jsonl", "**/*.json", "gsm8k/*"), tmp_path)
    assert list(dict.fromkeys(item.benchmark for item in items)) == [
        "arc/easy/test",
        "gsm8k/test",
        "mmlu/easy/test.json",
        "mmlu/easy/test.jsonl",
    ]
    assert len(items) == 8


def test_names_and_order_hold_no_folder_above_the_recipe(tmp_path: Path) -> None:
    found = []
    for place in ("here", "a/b/here"):
        base = tmp_path / place / "recipes"
        for name in ("test.jsonl", "z/test.jsonl", "../test.jsonl", "../bench/x/test.jsonl"):
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            write((base / name).parent, "test.jsonl")
        items = read_benchmarks(("../bench/**/*.jsonl", "../*.jsonl", "*.jsonl", "*/*.jsonl"), base)
        found.append(list(dict.fromkeys(item.benchmark for item in items)))
    assert found == [["x/test", "../test", "test", "z/test"]] * 2


def test_an_absolute_pattern_may_lend_its_folders_and_names_stay_different(tmp_path: Path) -> None:
    for name in ("here/a/test.jsonl", "there/a/test.jsonl", "there/b/test.jsonl", "there/test.json", "there/test.json.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write((tmp_path / name).parent, Path(name).name)
    (tmp_path / "there/test.jsonl").write_text('{"question": "?"}')
    base = tmp_path / "here"
    assert name_benchmarks(find_benchmarks((f"{tmp_path}/there/b/*.jsonl", f"{base}/a/*"), base), base) == ["b/test", "a/test"]
    files = find_benchmarks((f"{tmp_path}/there/**/*", "**/*.jsonl"), base)
    names = name_benchmarks(files, base)
    assert len(set(names)) == len(files) == 6
    assert {"a/test.jsonl", "there/a/test.jsonl", "there/test.json", "there/test.json.txt"} < set(names)


def test_links_are_read_under_their_own_name_and_once(tmp_path: Path) -> None:
    (tmp_path / "hub/blobs").mkdir(parents=True)
    blob = write(tmp_path, "a.parquet").rename(tmp_path / "hub/blobs/0123abcd")
    for commit in ("one", "two"):
        (tmp_path / "hub/snapshots" / commit).mkdir(parents=True)
        (tmp_path / "hub/snapshots" / commit / "test.parquet").symlink_to(blob)
    items = read_benchmarks(("hub/**/*",), tmp_path)
    assert [(item.benchmark, item.number) for item in items] == [("one/test", 0), ("one/test", 1)]


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", ".."]), max_size=3).flatmap(
            lambda folders: st.sampled_from(["t.json", "t.jsonl", "t.json.gz", "t.json.txt", "a", "b"]).map(
                lambda name: "/".join([*folders, name])
            )
        ),
        unique=True,
    )
)
def test_different_files_have_different_names(paths: list[str]) -> None:
    for base in (Path("/base"), Path("base")):
        files = [*(base / path for path in paths), *(Path(f"/{path}") for path in paths)]
        names = name_benchmarks(files, base)
        assert len(set(names)) == len(files)
        assert not any("base" in name for name in names)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b'{"question": "x"}\n{"question": \n', "line 2 is no JSON"),
        ("a.jsonl", b"3\n", "line 1 holds a int"),
        ("a.json", b"3", "holds a int"),
        ("a.jsonl.gz", gzip.compress(b"{}" * 100, mtime=0)[:-9], "cannot be read as UTF-8 text"),
        ("a.txt.bz2", b"no bzip2", "cannot be read as UTF-8 text"),
        ("a.csv", b"question,answer\nx,y\nonly one\n", "record 3 has 1 columns"),
        ("a.txt", b"\xff\xfe", "cannot be read as UTF-8 text"),
        ("a.parquet", b"PAR1", "cannot be read as parquet"),
        ("a.jsonl", b'{"gold": 1}\n', "holds no benchmark item"),
        ("a.docx", b"x", "no format that benchmarks are read from"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as error:
        read_items(tmp_path / name, "a")
    assert name in str(error.value)


def test_a_pattern_without_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file matches 'none\*\.jsonl'"):
        read_benchmarks(("none*.jsonl",), tmp_path)


@pytest.mark.skipif(not BENCH.is_dir(), reason="no shared benchmarks beside this checkout")
def test_every_published_layout_is_read_whole() -> None:
    expected = {
        "mmlu/test/*.csv": 14_042,
        "mmlu/dev/*.csv": 285,
        "gsm8k/test.jsonl": 1_319,
        "hellaswag/*": 10_042,
        "humaneval/*": 164,
        "mbpp/mbpp.jsonl": 974,
        "mbpp/sanitized-mbpp.json": 427,
        "mtbench/mt_bench/question.jsonl": 80,
        "sets/arc_challenge.jsonl": 1_172,
        "sets/boolq.jsonl": 3_270,
        "bbh/bbh/*.json": 6_511 + 27,
        "truthfulqa/*": 817,
    }
    assert {pattern: len(read_benchmarks((pattern,), BENCH)) for pattern in expected} == expected
