import os
from pathlib import Path

import pytest

from pellucid import __version__
from pellucid.core import environment as module
from pellucid.core.environment import available_memory_bytes, code_version, environment, source_of


def test_the_environment_names_machine_and_packages() -> None:
    facts = environment()
    assert facts["packages"]["torch"]
    assert 1 <= facts["cores"] <= (os.cpu_count() or 1)
    assert facts["memory_bytes"] > 2**28
    assert facts["processor"]


def test_the_code_version_holds_release_and_source_digest() -> None:
    assert code_version().startswith(f"{__version__}+src.")


def test_available_memory_is_less_than_all_and_heeds_a_containers_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**26 < available_memory_bytes() <= environment()["memory_bytes"]
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(module, "_CGROUP", tmp_path)
    assert available_memory_bytes() > 2**26
    (tmp_path / "memory.max").write_text(f"{2**24}\n")
    (tmp_path / "memory.current").write_text(f"{2**23}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {2**20}\nactive_file {2**21}\n")
    assert available_memory_bytes() == 2**24 - 2**23 + 2**20 + 2**21
    (tmp_path / "memory.current").write_text(f"{2**30}\n")
    assert available_memory_bytes() == 0


def test_the_same_source_is_told_whatever_its_commit() -> None:
    assert source_of("0.1.0+src.0123456789ab.git.abcdef012345") == "0.1.0+src.0123456789ab" == source_of("0.1.0+src.0123456789ab")
    assert source_of(code_version()) == code_version()[: len("0.1.0+src.0123456789ab")]
