import pytest

from pellucid.core.errors import RecipeError
from pellucid.recipe.data import SourceConfig
from pellucid.studies.mix_levels import leave_out_levels, report_mixes


def source(name: str, category: str, language: str, weight: float = 1.0) -> SourceConfig:
    return SourceConfig.model_validate({"name": name, "path": "x", "category": category, "language": language, "weight": weight})


LANGUAGES = [source(f"web.{language}", "Web", language) for language in ("en", "de", "es", "fr", "it", "pt", "nl")]
SOURCES = [*LANGUAGES, source("code", "Code", "en"), source("book", "Books", "en"), source("law", "Law", "en", 3.0)]


def test_every_mix_adds_up_to_one_and_the_control_has_no_other_language() -> None:
    mixes = report_mixes(SOURCES)
    assert len(mixes) == 6
    assert all(sum(mix.values()) == pytest.approx(1.0) for mix in mixes.values())
    assert mixes["control"]["web.de"] == 0.0
    # 6 and 3 %, each of what its printed column adds up to.
    assert mixes["mix2"]["web.de"] / mixes["mix2"]["code"] == pytest.approx(0.06 / 0.0702)


def test_a_row_without_a_source_is_told() -> None:
    with pytest.raises(RecipeError, match="Starcoder"):
        report_mixes([one for one in SOURCES if one.name != "code"])


def test_what_is_left_keeps_its_proportions() -> None:
    levels = leave_out_levels(SOURCES, "category", {one.name: one.weight or 0.0 for one in SOURCES})
    assert levels["no-Web"]["code"] == pytest.approx(1 / 5)
    assert levels["no-Web"]["law"] == pytest.approx(3 / 5)
    assert levels["no-Web"]["web.en"] == 0.0
