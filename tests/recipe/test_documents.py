from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pellucid.recipe.documents import DecontaminateConfig, DocumentsConfig, NearDedupConfig
from pellucid.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]


def test_by_default_documents_are_only_read_and_deduplicated_exactly() -> None:
    config = DocumentsConfig()
    assert config.clean == () and config.near_dedup is None and config.decontaminate is None and config.exact_dedup


def test_the_bands_of_a_signature_fit_into_it() -> None:
    config = NearDedupConfig()
    assert config.bands == config.permutations // config.band_minima == 25


def test_the_default_bands_compare_all_but_one_in_ten_thousand_of_the_pairs_that_are_just_similar_enough() -> None:
    config = NearDedupConfig()
    assert 0.9999 < config.compared_frac(config.min_jaccard) < 1 == config.compared_frac(1.0)
    assert config.compared_frac(0.2) < 0.01


def test_decontamination_names_its_benchmarks() -> None:
    with pytest.raises(ValidationError):
        DecontaminateConfig(benchmarks=())


def test_the_recipe_of_the_guide_is_a_valid_one(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "data.md").read_text()
    text = guide.split("```yaml\n")[1].split("```")[0].replace("extends: recipes/", f"extends: {ROOT}/recipes/")
    (tmp_path / "guide.yaml").write_text(text)
    recipe = load_recipe(tmp_path / "guide.yaml").recipe
    assert len(recipe.documents.clean) == 8 and [source.name for source in recipe.sources] == [
        "crawl",
        "wiki",
        "stories",
        "code",
        "sums",
    ]
    for source in recipe.sources:
        if source.template is not None:
            assert (ROOT / "src/pellucid/documents/restructure/templates" / f"{source.template}.yaml").is_file()


def test_no_document_of_the_pocket_corpus_is_longer_than_is_kept_by_default() -> None:
    files = sorted((ROOT / "corpora" / "pocket").glob("*.parquet"))
    texts = [text for file in files for text in pq.read_table(file, columns=["text"])["text"].to_pylist()]
    assert len(texts) > 1000
    assert max(len(text.encode()) for text in texts) <= DocumentsConfig().max_bytes == 10_000_000
