import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError, MissingExtraError
from pellucid.documents.hub import find_shards, hub_inputs, is_local, split_hub
from pellucid.documents.pieces import find_pieces, input_digests
from pellucid.recipe.data import SourceConfig

pytest.importorskip("datasets")
MakeSource = Callable[..., SourceConfig]
CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*.parquet}
  - {split: test, path: data/test.parquet}
- config_name: en
  data_files: [{split: train, path: en/*.parquet}]
---
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of a data set as the hub has them: parquet files, and a card that names subsets and splits."""
    folder = tmp_path / "sets" / "small"
    for name, count in (("data/train-0", 3), ("data/train-1", 2), ("data/train-2", 1), ("data/test", 1), ("en/only", 2)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [f"{name} {n}" for n in range(count)]}), folder / f"{name}.parquet")
    (folder / "README.md").write_text(CARD)
    return folder


def test_a_split_has_a_piece_for_each_of_its_files_with_its_size(repository: Path, tmp_path: Path, make_source: MakeSource) -> None:
    pieces = find_pieces(make_source(None, hub="./sets/small"), tmp_path, 1)
    assert [(piece.name, piece.start, piece.stop) for piece in pieces] == [
        ("sets/small/train/00000", 0, 1),
        ("sets/small/train/00001", 1, 2),
        ("sets/small/train/00002", 2, 3),
    ]
    assert [piece.bytes for piece in pieces] == [(repository / f"data/train-{n}.parquet").stat().st_size for n in range(3)]
    (shard,) = find_shards(make_source(None, hub="./sets/small:en"), tmp_path)
    assert shard.name == "sets/small:en/train/00000"
    (shard,) = find_shards(make_source(None, hub=str(repository), split="test"), tmp_path)
    assert shard.name == "sets/small/test/00000"


def test_a_subset_or_split_that_is_not_there_is_told_those_that_are(
    repository: Path, tmp_path: Path, make_source: MakeSource
) -> None:
    with pytest.raises(DataError, match=r"'xx' not found.*'default', 'en'.*hub: owner/name:subset"):
        find_shards(make_source(None, hub="./sets/small:xx"), tmp_path)
    with pytest.raises(DataError, match=r"Bad split: validation.*'train', 'test'.*Correct split, which is 'validation'"):
        find_shards(make_source(None, hub="./sets/small", split="validation"), tmp_path)
    with pytest.raises(DataError, match=r"there is no folder .*sets/gone"):
        find_shards(make_source(None, hub="./sets/gone"), tmp_path)


def test_a_local_copy_is_known_by_its_files(repository: Path, tmp_path: Path, make_source: MakeSource) -> None:
    source = make_source(None, hub="./sets/small")
    before = input_digests([source], tmp_path)
    assert "web/sets/small/data/train-0.parquet" in before
    (repository / "README.md").write_text(CARD + "More.\n")
    changed = input_digests([source], tmp_path)
    assert [name for name in before if before[name] != changed[name]] == ["web/sets/small/README.md"]
    assert hub_inputs(source, tmp_path)[1] == {}


def test_without_the_library_the_extra_is_named(
    repository: Path, tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"reading \./sets/small needs the package datasets; .*pellucid\[hub\]"):
        find_shards(make_source(None, hub="./sets/small"), tmp_path)


def test_names_of_the_hub_and_folders_are_told_apart() -> None:
    assert [is_local(hub) for hub in ("owner/name", "./a", "../a:en", "/a")] == [False, True, True, True]
    assert split_hub("owner/name:sub-set") == ("owner/name", "sub-set")
    assert split_hub("owner/name") == ("owner/name", None)


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does about a data set that is there, one that is not, and one whose terms are to be accepted."""

    def do_GET(self) -> None:
        if "/gone" in self.path:
            status, headers, body = 404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, {}
        elif "/closed" in self.path:
            status, headers = 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to data set owner/closed is restricted"}
            body = {}
        elif "/revision/nosuch" in self.path:
            status, headers, body = 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id: nosuch"}, {}
        else:
            files = [{"rfilename": "train.jsonl", "size": 7}]
            status, headers, body = 200, {}, {"id": "owner/name", "sha": "c0ffee", "siblings": files}
        data = json.dumps(body).encode()
        self.send_response(status)
        for key, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from huggingface_hub import hf_api

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(hf_api.constants, "ENDPOINT", address)
    yield
    server.shutdown()


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("owner/gone", {}, "Correct hub: owner/name; a private data set needs HF_TOKEN"),
        ("owner/closed", {}, "Accept its terms at https://huggingface.co/datasets/owner/closed, then set HF_TOKEN"),
        ("owner/name", {"revision": "nosuch"}, "Correct revision, which is 'nosuch'"),
        ("not a name", {}, "Correct hub: owner/name"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_way_out(
    tmp_path: Path, make_source: MakeSource, name: str, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        find_shards(make_source(None, hub=name, **fields), tmp_path)


@pytest.mark.usefixtures("hub")
def test_a_data_set_of_the_hub_is_known_by_its_commit(tmp_path: Path, make_source: MakeSource) -> None:
    assert input_digests([make_source(None, hub="owner/name:en")], tmp_path) == {"web/owner/name:en": "c0ffee"}


def test_without_a_network_the_way_out_is_named(tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import hf_api

    monkeypatch.setattr(hf_api.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(DataError, match=r"data set owner/name cannot be read .* Look at the network"):
        find_shards(make_source(None, hub="owner/name"), tmp_path)
