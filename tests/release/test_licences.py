import json
from importlib import resources
from itertools import combinations

import pytest

from pellucid.release.licences import names_in, standing, table


@pytest.mark.parametrize(
    ("expression", "code", "content", "shareable"),
    [
        ("Apache-2.0", True, True, True),
        ("CC-BY-SA-4.0", False, True, True),
        ("CDLA-Permissive-2.0", False, True, True),
        ("OpenMDW-1.0", False, True, True),
        ("CC-BY-NC-4.0", False, False, True),
        ("CC-BY-ND-4.0", False, False, False),
        ("GFDL-1.3-or-later", False, False, True),
        ("GFDL-1.1-no-invariants-or-later", False, True, True),
        ("LicenseRef-all-rights-reserved", False, False, False),
        ("GFDL-1.3", False, False, True),
        ("C-UDA-1.0", False, False, True),
        ("WTFPL", False, True, True),
        ("CC-BY-SA-3.0-DE", False, True, True),
        ("CC-BY-NC-SA-2.0-FR", False, False, True),
        ("CC-BY-NC-ND-3.0-IGO", False, False, False),
        ("GPL-3.0", True, True, True),
        ("LGPL-2.1+", True, True, True),
        ("curl", True, True, True),
        ("SSPL-1.0", False, False, True),
        ("MIT AND CC-BY-NC-4.0", False, False, True),
        ("MIT OR CC-BY-NC-4.0", True, True, True),
        ("MIT AND (CC-BY-ND-4.0 OR CC0-1.0)", False, True, True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", True, True, True),
        ("public domain", False, False, False),
        ("NOASSERTION", False, False, False),
        ("", False, False, False),
        (None, False, False, False),
    ],
)
def test_expressions_worked_out_by_hand(expression: str | None, code: bool, content: bool, shareable: bool) -> None:
    found = standing(expression)
    assert (found.code, found.content, found.shareable) == (code, content, shareable)


@pytest.mark.parametrize(
    ("expression", "limited"),
    [("CC-BY-NC-SA-3.0", True), ("MIT OR CC-BY-NC-4.0", False), ("MIT AND CC-BY-NC-4.0", True), ("NCSA", False), ("MIT", False)],
)
def test_what_is_not_for_commerce_is_known(expression: str, limited: bool) -> None:
    assert standing(expression).non_commercial is limited


def test_a_publisher_may_say_that_texts_may_be_passed_on() -> None:
    assert not standing("LicenseRef-ours").shareable
    assert standing("LicenseRef-ours", ["LicenseRef-ours"]).shareable
    assert standing("MIT AND LicenseRef-ours", ["LicenseRef-ours"]).shareable
    assert standing("with the author's leave", ["with the author's leave"]).shareable, "also where a record says it in words"
    assert not standing("LicenseRef-ours", ["LicenseRef-ours"]).content, "may be passed on is not open"


def test_no_licence_both_forbids_changes_and_is_open() -> None:
    groups = table()
    for first, second in combinations(groups, 2):
        assert not groups[first] & groups[second], (first, second)


def test_what_is_called_open_is_of_no_category_that_is_not() -> None:
    """The index in license-expression puts licences into categories, by other people than those who set the flags of the table."""
    data = resources.files("license_expression").joinpath("data/scancode-licensedb-index.json").read_text(encoding="utf-8")
    categories = {row["spdx_license_key"]: row["category"] for row in json.loads(data) if row.get("spdx_license_key")}
    closed = {"Commercial", "Proprietary Free", "Free Restricted", "Source-available"}
    groups = table()
    opened = groups["osi"] | groups["free"] | groups["open_content"] | groups["open_model"]
    assert {name for name in opened if categories.get(name) in closed} <= {"SISSL", "Watcom-1.0"}, "approved, and retired since"
    assert len([name for name in opened if name in categories]) > 200
    limited = {name for name in groups["shareable"] | groups["no_changes"] if name.startswith("CC-")}
    assert {categories[name] for name in limited if name in categories} == {"Source-available"}


def test_identifiers_are_those_of_the_spdx_list() -> None:
    spdx = pytest.importorskip("cyclonedx.spdx")
    ours = {name for names in table().values() for name in names if not name.startswith("LicenseRef-")}
    later = {"OpenMDW-1.1", "BSD-ask-to-endorse", "CC-BY-NC-3.0-IGO"}  # the package's list is older than 3.29
    assert {name for name in ours if not spdx.is_supported_id(name)} <= later


def test_names_of_an_expression() -> None:
    assert names_in("MIT AND (Apache-2.0 OR LicenseRef-x)") == ["MIT", "Apache-2.0", "LicenseRef-x"]
    assert names_in("GPL-2.0-only WITH Classpath-exception-2.0") == ["GPL-2.0-only", "Classpath-exception-2.0"]
    assert names_in("the author's leave") == []
