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
    assert not groups["no_changes"] & (groups["osi"] | groups["open_content"] | groups["open_model"] | groups["shareable"])
    assert not groups["shareable"] & (groups["osi"] | groups["open_content"])


def test_identifiers_are_those_of_the_spdx_list() -> None:
    spdx = pytest.importorskip("cyclonedx.spdx")
    ours = {name for names in table().values() for name in names if not name.startswith("LicenseRef-")}
    assert sorted(name for name in ours if not spdx.is_supported_id(name)) in ([], ["OpenMDW-1.1"])


def test_names_of_an_expression() -> None:
    assert names_in("MIT AND (Apache-2.0 OR LicenseRef-x)") == ["MIT", "Apache-2.0", "LicenseRef-x"]
    assert names_in("GPL-2.0-only WITH Classpath-exception-2.0") == ["GPL-2.0-only", "Classpath-exception-2.0"]
    assert names_in("the author's leave") == []
