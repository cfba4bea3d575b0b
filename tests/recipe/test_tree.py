"""YAML read as people mean it, with lines for what is wrong."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pellucid.recipe.tree import Leaf, Stamp, TreeError, leaves, parse_yaml, plain

STAMP = Stamp("given", "r.yaml")


def value(text: str) -> object:
    node = parse_yaml(text, STAMP)
    assert node is not None
    return plain(node)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2e6", 2_000_000),
        ("2.5e3", 2500),
        ("2009831803933", 2_009_831_803_933),
        ("1_000_000", 1_000_000),
        ("1e-3", 0.001),
        ("-1E+2", -100),
        ("1.", 1.0),
        (".5", 0.5),
        ("0x10", 16),
        ("010", 10),
        ("2.0", 2.0),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("true", True),
        ("~", None),
        ("null", None),
        ("'2e6'", "2e6"),
        ("2M", "2M"),
        ("[hf, gguf]", ["hf", "gguf"]),
        ("{a: 1, 2: b}", {"a": 1, "2": "b"}),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@given(st.integers(0, 10**6), st.integers(0, 12))
def test_a_whole_number_in_scientific_notation_is_exactly_that_number(mantissa: int, exponent: int) -> None:
    assert value(f"{mantissa}e{exponent}") == mantissa * 10**exponent


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.text(st.characters(codec="utf-8", categories=["L", "N", "P"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner),
        max_leaves=10,
    )
)
def test_what_pyyaml_dumps_reads_back_the_same(data: object) -> None:
    node = parse_yaml(yaml.safe_dump(data, allow_unicode=True), STAMP)
    assert (None if node is None else plain(node)) == data


def test_every_leaf_knows_its_line() -> None:
    node = parse_yaml("a: 1\nb:\n  c: x\n  d: [1, 2]\n", STAMP)
    assert node is not None
    assert [leaf.place for leaf in leaves(node)] == ["r.yaml:1", "r.yaml:3", "r.yaml:4"]


def test_an_empty_document_is_none() -> None:
    assert parse_yaml("# nothing\n", STAMP) is None


def test_all_duplicate_keys_are_reported_with_both_lines() -> None:
    with pytest.raises(TreeError) as caught:
        parse_yaml("a: 1\nb: {c: 1, c: 2}\na: 3\n", STAMP)
    assert [(one.field, one.message) for one in caught.value.problems] == [
        ("line 2", "the key c is given twice; first on line 2"),
        ("line 3", "the key a is given twice; first on line 1"),
    ]


def test_a_syntax_error_has_line_and_column() -> None:
    with pytest.raises(TreeError) as caught:
        parse_yaml("a: 1\nb: [1, 2\nc: 3\n", STAMP)
    assert caught.value.problems[0].field == "line 3, column 2"
    with pytest.raises(TreeError, match="not YAML"):
        parse_yaml("a:\n\t- b\n", STAMP)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object:os.system x", "tag"),
        ("a: !thing x", "tag !thing is not allowed"),
        ("&a [*a]", "alias"),
        ("? [1]\n: 2", "a key must be plain text"),
        ("a: 1" + "0" * 30, "cannot be used"),
        ('a: "\\ud800"', "cannot be used|not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("a: 'x", "not YAML"),
        ("a: \x07", "not YAML"),
    ],
)
def test_what_is_no_plain_recipe_is_refused(text: str, message: str) -> None:
    with pytest.raises(TreeError, match=message):
        parse_yaml(text, STAMP)


def test_aliases_that_multiply_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    with pytest.raises(TreeError, match="more than"):
        parse_yaml(bomb, STAMP)


def test_huge_exponents_cost_nothing() -> None:
    assert value("1e999999") == float("inf")


def test_an_override_is_placed_by_its_key() -> None:
    assert parse_yaml("3", Stamp("override", "--set seed")) == Leaf(3, "override", "--set seed")
