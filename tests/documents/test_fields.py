import pytest

from pellucid.documents.fields import get_path, own_metadata, root_of, whole_number

RECORD = {"a": {"b": [{"c": "x"}, {"c": "y"}, "z"]}, "a.b": "dotted", "n": None, "text": "t"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("text", "t"),
        ("a.b", "dotted"),
        ("a.b.0.c", "x"),
        ("n", None),
        ("n.x", None),
        ("text.x", None),
        ("missing.x", None),
    ],
)
def test_a_path_leads_through_mappings_and_a_key_with_dots_comes_first(path: str, value: object) -> None:
    assert get_path(RECORD, path) == value


def test_a_path_leads_through_lists_by_number_and_by_name() -> None:
    record = {"a": {"b": [{"c": "x"}, {"c": "y"}, "z"]}}
    assert get_path(record, "a.b.1.c") == "y"
    assert get_path(record, "a.b.-1") == "z"
    assert get_path(record, "a.b.9") is None
    assert get_path(record, "a.b.--1") == [None, None]  # a name, which neither has
    assert get_path(record, "a.b.c") == ["x", "y"]
    assert get_path({"b": []}, "b.c") is None


def test_the_root_of_a_path_is_a_column() -> None:
    assert root_of("a.b", ["a", "a.b"]) == "a.b"
    assert root_of("a.b", ["a"]) == "a"


def test_a_record_speaks_of_itself_in_strings_and_whole_numbers() -> None:
    record = {"id": 7, "language": "", "license": "MIT", "licence": True, "url": "x\ud800", "origin": None}
    assert own_metadata(record) == {"id": "7", "language": None, "licence": "MIT", "origin": "x?"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("-7", -7), ("٣", 3), ("--1", None), ("²", None), ("", None), ("-", None), ("1.0", None), ("9" * 5000, None)],
)
def test_whole_numbers_are_read_and_no_other_text_is_taken_for_one(text: str, number: int | None) -> None:
    assert whole_number(text) == number
