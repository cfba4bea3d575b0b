"""Mixes of the report on made-up and shipped recipes: sums, ratios, what is left out, and what is told where they cannot be had."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import RecipeError
from pellucid.plan.printed_mixes import printed_mixes
from pellucid.recipe.data import CATEGORIES, SourceConfig
from pellucid.recipe.load import load_recipe
from pellucid.studies.mixes.levels import leave_out_levels, report_mixes

RECIPES = Path(__file__).parents[3] / "recipes"


def source(name: str, category: str, language: str | None, weight: float | None = 1.0, tokens: int | None = None) -> SourceConfig:
    raw = {"name": name, "path": "x", "category": category, "language": language, "available_tokens": tokens}
    return SourceConfig.model_validate(raw | ({"weight": weight} if weight is not None else {"epochs": 1.0}))


LANGUAGES = [source(f"web.{language}", "Web", language) for language in ("en", "de", "es", "fr", "it", "pt", "nl")]
SOURCES = [*LANGUAGES, source("code", "Code", "en"), source("book", "Books", "en"), source("law", "Law", "en", 3.0)]


def pocket() -> list[SourceConfig]:
    raw = yaml.safe_load((RECIPES / "studies" / "mixes-base.yaml").read_text())
    return [SourceConfig.model_validate(one) for one in raw["sources"]]


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
    with pytest.raises(RecipeError, match=r"row 'Cultura-x De'.*0\.09.*Web or Instruction in de"):
        report_mixes([one for one in SOURCES if one.name != "web.de"])


def test_what_is_left_keeps_its_proportions() -> None:
    levels = leave_out_levels(SOURCES, "category", {one.name: one.weight or 0.0 for one in SOURCES})
    assert levels["no-Web"]["code"] == pytest.approx(1 / 5)
    assert levels["no-Web"]["law"] == pytest.approx(3 / 5)
    assert levels["no-Web"]["web.en"] == 0.0


def test_rows_of_the_pocket_corpus_have_the_printed_shares_of_their_columns() -> None:
    sources, table = pocket(), printed_mixes()
    mixes = report_mixes(sources)
    for mix, weights in mixes.items():
        printed = table.weights_of(mix)
        assert weights.keys() == {one.name for one in sources}
        for row in table.rows:
            own = sum(weights[one.name] for one in sources if row.holds(one.category, one.language))
            assert own == pytest.approx(printed[row.name] / sum(printed.values())), (mix, row.name)
        outside = [one for one in sources if table.row_of(one.category, one.language) is None]
        assert outside and not any(weights[one.name] for one in outside)
    own = [one for one in sources if (one.category, one.language) == ("Code", "en")]
    ratios = [mixes["mix5"][one.name] / (one.weight or 0.0) for one in own]
    assert len(own) == 2 and ratios[0] == pytest.approx(ratios[1])


def test_in_mix_4_academic_and_books_alone_have_more_and_each_as_much_more() -> None:
    sources, sums = pocket(), {mix: sum(printed_mixes().weights_of(mix).values()) for mix in printed_mixes().mixes}
    mixes = report_mixes(sources)
    factors: dict[bool, set[float]] = {True: set(), False: set()}
    for one in sources:
        if printed_mixes().row_of(one.category, one.language) == "Others":
            printed = [mixes[mix][one.name] * sums[mix] for mix in ("control", "mix4")]
            factors[one.category in ("Academic", "Books")].add(round(printed[1] / printed[0], 9))
    assert factors[False] == {1.0}
    assert len(factors[True]) == 1 and factors[True].pop() > 2


def test_a_row_is_shared_by_sizes_where_all_are_known_and_by_weights_where_not() -> None:
    others = [one for one in SOURCES if one.category != "Code"]
    sized = report_mixes([*others, source("a", "Code", None, 9.0, 100), source("b", "Code", "mul", None, 300)])
    assert sized["control"]["b"] == pytest.approx(3 * sized["control"]["a"])
    weighed = report_mixes([*others, source("a", "Code", "en", 9.0, 100), source("b", "Code", "en", 1.0)])
    assert weighed["control"]["a"] == pytest.approx(9 * weighed["control"]["b"])
    with pytest.raises(RecipeError, match="'b' has neither size nor weight"):
        report_mixes([*others, source("a", "Code", "en", 9.0), source("b", "Code", "en", None)])
    with pytest.raises(RecipeError, match="all its sources have weight 0"):
        report_mixes([*others, source("a", "Code", "en", 0.0)])
    with pytest.raises(RecipeError, match="more of its Academic or Books"):
        report_mixes([one for one in SOURCES if one.name != "book"])


def test_sources_of_several_or_no_languages_are_named_with_their_row() -> None:
    with pytest.raises(RecipeError) as caught:
        report_mixes([*SOURCES, source("wiki", "Wiki", "mul"), source("web", "Web", None), source("told", "Instruction", "mul")])
    told = str(caught.value)
    assert "'wiki' (Wiki) is of several languages (mul); row 'Others'" in told
    assert "'web' (Web) has no language; rows 'Cultura-x En' to 'Cultura-x Nl'" in told
    assert len(caught.value.problems) == 3


def test_the_reports_own_recipe_needs_nothing_but_the_language_of_two_sources() -> None:
    path = RECIPES / "stable-lm-2-1.6b.yaml"
    with pytest.raises(RecipeError) as caught:
        report_mixes(load_recipe(path).recipe.sources)
    assert [problem.message.split()[0] for problem in caught.value.problems] == ["'EuroParl'", "'RedPajama-Wiki'"]
    named = ["sources.EuroParl.language=en", "sources.RedPajama-Wiki.language=en"]
    mixes = report_mixes(load_recipe(path, named).recipe.sources)
    assert mixes["mix5"]["Starcoder"] == pytest.approx(0.28 / 0.9992)
    assert mixes["mix3"]["Cultura-X-NL"] == pytest.approx(0.09 / 0.9888)


WEIGHTS = st.lists(st.tuples(st.sampled_from(CATEGORIES), st.floats(0.01, 100.0)), min_size=2, max_size=12)


@given(WEIGHTS, st.sampled_from(["category", "source"]))
def test_leaving_out_keeps_all_proportions_of_the_rest(drawn: list[tuple[str, float]], by: str) -> None:
    sources = [source(f"s{number}", category, "en") for number, (category, _) in enumerate(drawn)]
    weights = {f"s{number}": weight for number, (_, weight) in enumerate(drawn)}
    parts = {one.category if by == "category" else one.name for one in sources}
    if len(parts) < 2:
        with pytest.raises(RecipeError, match="only"):
            leave_out_levels(sources, by, weights)  # type: ignore[arg-type]
        return
    levels = leave_out_levels(sources, by, weights)  # type: ignore[arg-type]
    assert set(levels) == {"all", *(f"no-{part}" for part in parts)}
    for level, shares in levels.items():
        assert sum(shares.values()) == pytest.approx(1.0)
        kept = [one for one in sources if level == "all" or level != f"no-{one.category if by == 'category' else one.name}"]
        assert {name for name, share in shares.items() if share} == {one.name for one in kept}
        first = kept[0].name
        for one in kept:
            assert shares[one.name] * weights[first] == pytest.approx(shares[first] * weights[one.name])


def test_what_is_not_read_is_not_left_out_and_nothing_read_is_told() -> None:
    assert "no-Law" not in leave_out_levels(SOURCES, "category", {"code": 1.0, "book": 2.0})
    with pytest.raises(RecipeError, match="nothing is read"):
        leave_out_levels(SOURCES, "source", {})
