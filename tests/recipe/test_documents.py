import pytest
from pydantic import ValidationError

from pellucid.recipe.documents import DecontaminateConfig, DocumentsConfig, NearDedupConfig


def test_by_default_documents_are_only_read_and_deduplicated_exactly() -> None:
    config = DocumentsConfig()
    assert config.clean == () and config.near_dedup is None and config.decontaminate is None and config.exact_dedup


def test_the_bands_of_a_signature_fit_into_it() -> None:
    config = NearDedupConfig()
    assert config.bands <= config.permutations


def test_decontamination_names_its_benchmarks() -> None:
    with pytest.raises(ValidationError):
        DecontaminateConfig(benchmarks=())
