import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.chat_file import Kept, KeptMessage, choose, is_there, path_of, read_file, write_file
from pellucid.core.errors import DataError, UsageError

STATIC = Path(__file__).parents[2] / "src" / "pellucid" / "serve" / "static"

# As the chat page writes it: seconds of many digits, `null` for a seed, segments with and without a probability.
PAGE: dict[str, Any] = {
    "version": 1,
    "id": "0123456789abcdef01234567",
    "changed": 1795358000123,
    "settings": {
        "system": "", "temperature": 0.7, "top_p": 1, "max_tokens": 256, "seed": None,
        "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": -0.5, "frequency_penalty": 0.25,
        "stop": ["END", "\n"],
    },
    "messages": [
        {"role": "user", "content": "Hello\nthere"},
        {
            "role": "assistant", "content": "Ü 语…",
            "tokens": 3, "seconds": 0.123456, "limit": 256, "model": "tiny", "end": "length",
            "segments": [["Ü", -0.5, [["Ü", -0.5], ["A", -1]], 1], [" 语", -3, [], 2], ["…", None, [], 0]],
        },
    ],
}  # fmt: skip


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_what_the_page_wrote_is_read_and_written_again_unchanged(tmp_path: Path) -> None:
    source = PAGE | {"later": "kept"}
    (found,) = read_file(write(tmp_path / "page.json", source))
    assert found.messages[1].segments is not None and found.messages[1].segments[1] == (" 语", -3, [], 2)
    write_file(tmp_path / "again.json", found, source["settings"])
    again = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))
    assert again.pop("changed") > source["changed"] - 1
    assert again == {name: value for name, value in source.items() if name != "changed"}


def test_one_of_several_is_chosen_by_its_number(tmp_path: Path) -> None:
    other = PAGE | {"id": "b", "messages": [{"role": "user", "content": "Second\n" + "x" * 100}]}
    path = write(tmp_path / "all.json", [PAGE, other, PAGE | {"messages": []}])
    found = read_file(path)
    assert choose(found, 2, path).id == "b"
    for number in (None, 0, 4):
        with pytest.raises(UsageError, match="holds 3 conversations") as error:
            choose(found, number, path)
        assert "  1  Hello ↵ there\n  2  Second ↵ xxx" in str(error.value)
    with pytest.raises(UsageError, match="1 conversation, but no number 2"):
        choose(found[:1], 2, path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "no conversation"),
        ({}, "messages: Field required"),
        ("text", "no conversation as the chat page exports it: its value"),
        (PAGE | {"version": 2}, "version: Input should be 1"),
        (PAGE | {"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        (PAGE | {"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        (PAGE | {"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        (PAGE | {"messages": [{"role": "user", "content": "", "segments": [["a", 1e300, [], 1]]}]}, "messages.0.segments"),
        (PAGE | {"messages": [{"role": "user", "content": "", "segments": [["a", -1, [], -1]]}]}, "messages.0.segments"),
        (PAGE | {"settings": {"max_tokens": 0}}, "settings.max_tokens"),
        (PAGE | {"settings": {"temperature": "hot"}}, "settings.temperature"),
    ],
)
def test_a_file_that_is_no_conversation_is_refused_with_the_place(value: Any, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.json", value)
    with pytest.raises(DataError) as error:
        read_file(path)
    assert said in str(error.value) and "bad.json" in str(error.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"messages": "\\ud800"}', b"[" * 100_000])
def test_what_is_no_json_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(data)
    with pytest.raises(DataError, match="is not JSON"):
        read_file(tmp_path / "bad.json")


def test_a_file_that_cannot_be_read_or_is_far_too_long_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_file(path)
    with (tmp_path / "long.json").open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(DataError, match="more than 64 MiB"):
        read_file(tmp_path / "long.json")


def test_nothing_but_the_same_conversation_is_written_over(tmp_path: Path) -> None:
    kept = Kept(messages=[KeptMessage(role="user", content="a")])
    path = tmp_path / "talk.json"
    write_file(path, kept, {})
    write_file(path, kept, {"system": "b"})
    assert json.loads(path.read_text())["settings"] == {"system": "b"}
    (tmp_path / "other.txt").write_text("precious")
    for other in (path, tmp_path / "other.txt", tmp_path):
        with pytest.raises(UsageError, match="is there already"):
            write_file(other, Kept(messages=[]), {})
    assert (tmp_path / "other.txt").read_text() == "precious"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other.txt", "talk.json"]


@pytest.mark.skipif(
    shutil.which("node") is None or not (STATIC / "transfer.js").is_file(), reason="needs node and the page's import"
)
def test_the_page_takes_in_what_was_written_here(tmp_path: Path) -> None:
    """The page's own code reads the file: no message, number or segment is lost."""
    (found,) = read_file(write(tmp_path / "page.json", PAGE))
    write_file(tmp_path / "talk.json", found, PAGE["settings"])
    shutil.copytree(STATIC, tmp_path / "page")
    (tmp_path / "page" / "package.json").write_text('{"type": "module"}')
    code = """
    import { readFileSync } from "node:fs";
    const { conversationsOf } = await import("./transfer.js");
    const text = readFileSync("../talk.json", "utf-8");
    console.log(JSON.stringify(await conversationsOf({ size: text.length, text: async () => text })));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", code], cwd=tmp_path / "page", capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [PAGE | {"changed": found.changed}]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_file(tmp_path / "file" / "talk.json", Kept(messages=[]), {})


def test_names_that_can_be_no_file_are_refused_and_not_fallen_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_of("~/talk.json") == tmp_path / "talk.json" and path_of("talk.json") == Path("talk.json")
    with pytest.raises(UsageError, match="home folder"):
        path_of("~nosuchuser/talk.json")
    with pytest.raises(UsageError, match="null character"):
        path_of("a\0b")
    with pytest.raises(UsageError, match="cannot be looked at: File name too long"):
        is_there(tmp_path / ("a" * 300))
    with pytest.raises(UsageError, match="File name too long"):
        write_file(tmp_path / ("a" * 300), Kept(messages=[]), {})


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    user = os.geteuid()
    if user == 0:  # who may look everywhere
        os.seteuid(65534)
    try:
        with pytest.raises(UsageError, match="Permission denied"):
            write_file(tmp_path / "closed" / "talk.json", Kept(messages=[]), {})
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("depth", [150, 230, 300, 900])
def test_lists_in_lists_are_kept_or_refused_and_not_fallen_over(depth: int, tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text(json.dumps(PAGE | {"later": json.loads("[" * depth + "]" * depth)}))
    if depth == 150:
        write_file(path, read_file(path)[0], {})
    else:
        with pytest.raises(DataError, match="holds no conversation as the chat page exports it"):
            read_file(path)
