import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.files import read_json
from pellucid.release.account import Account
from pellucid.release.dataset import write_dataset


def test_mlcroissant_reads_the_documents_of_a_release(account: Account, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    assert write_dataset(account, tmp_path) == ["croissant.json"]
    shutil.copytree(account.run / "documents", tmp_path / "documents")
    dataset = mlcroissant.Dataset(str(tmp_path / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())
    kept = sum(funnel["kept"] for funnel in read_json(account.run / "documents" / "funnel.json")["sources"].values())
    assert len(list(dataset.records("train"))) == kept


def test_files_that_are_left_out_are_not_described(account_of: Callable[..., Account], account: Account, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    write_dataset(account_of(account.run, without=("documents",)), tmp_path)
    document = read_json(tmp_path / "croissant.json")
    assert document["distribution"] == [] and [one["@id"] for one in document["recordSet"]] == ["sources"]
    assert set(mlcroissant.Dataset(str(tmp_path / "croissant.json")).metadata.ctx.issues.errors) == set()


def test_a_run_without_documents_has_none(account: Account, tmp_path: Path) -> None:
    talk = Account(account.run, account.recipe.model_copy(update={"sources": ()}), [], account.selection)
    assert write_dataset(talk, tmp_path) == []
