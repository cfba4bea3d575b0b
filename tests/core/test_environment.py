import os

from pellucid import __version__
from pellucid.core.environment import code_version, environment


def test_the_environment_names_machine_and_packages() -> None:
    facts = environment()
    assert facts["packages"]["torch"]
    assert 1 <= facts["cores"] <= (os.cpu_count() or 1)
    assert facts["memory_bytes"] > 2**28
    assert facts["processor"]


def test_the_code_version_holds_release_and_source_digest() -> None:
    assert code_version().startswith(f"{__version__}+src.")
