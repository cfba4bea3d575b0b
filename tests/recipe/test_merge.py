"""Laying trees over each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.recipe.merge import apply_override, merge, suggest
from pellucid.recipe.tree import Node, Stamp, TreeError, parse_yaml, plain

BASE = """\
seed: 1
model: {preset: pocket, layers: 6}
sources:
  - {name: a, weight: 1}
  - {name: b.c, weight: 2}
train:
  - {name: pretrain, length_tokens: 10, weights: {a: 1}}
export: {formats: [hf]}
"""


def tree(text: str) -> Node:
    node = parse_yaml(text, Stamp("given", "r.yaml"))
    assert node is not None
    return node


def merged(child: str) -> dict[str, object]:
    result: dict[str, object] = plain(merge(tree(BASE), tree(child)))
    return result


def overridden(*texts: str) -> dict[str, object]:
    node = tree(BASE)
    for text in texts:
        node = apply_override(node, text)
    result: dict[str, object] = plain(node)
    return result


def test_mappings_merge_and_lists_replace() -> None:
    result = merged("export: {hf_type: bfloat16}\nsources: [{name: z}]\n")
    assert result["export"] == {"formats": ["hf"], "hf_type": "bfloat16"}
    assert result["sources"] == [{"name": "z"}]
    assert merged("export: {formats: [gguf]}")["export"] == {"formats": ["gguf"]}


def test_named_items_are_changed_added_and_removed_by_name() -> None:
    result = merged("sources: {b.c: {weight: 5}, new: {weight: 7}, a: null}")
    assert result["sources"] == [{"name": "b.c", "weight": 5}, {"name": "new", "weight": 7}]
    assert merged("train: {pretrain: {weights: {b.c: 2}}}")["train"] == [
        {"name": "pretrain", "length_tokens": 10, "weights": {"a": 1, "b.c": 2}}
    ]


def test_a_model_that_names_a_preset_starts_from_it() -> None:
    assert merged("model: {preset: other}")["model"] == {"preset": "other"}
    assert merged("model: {hidden: 64}")["model"] == {"preset": "pocket", "layers": 6, "hidden": 64}


def test_merging_changes_neither_side() -> None:
    base, child = tree(BASE), tree("sources: {a: null}\nexport: {hf_type: bfloat16}")
    before = plain(base), plain(child)
    merge(base, child)
    assert (plain(base), plain(child)) == before


simple = st.dictionaries(
    st.sampled_from("abc"), st.integers(0, 9) | st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), max_size=3
)


@given(simple, simple, simple)
def test_merging_is_associative_and_empty_changes_nothing(a: dict[str, object], b: dict[str, object], c: dict[str, object]) -> None:
    x, y, z = (tree(repr(one)) for one in (a, b, c))
    if any(isinstance(a.get(key), dict) != isinstance(b.get(key), dict) for key in a.keys() & b.keys()):
        return
    assert plain(merge(merge(x, y), z)) == plain(merge(x, merge(y, z)))
    assert plain(merge(x, {})) == a == plain(merge({}, x))


def test_overrides_reach_items_by_name_and_by_number() -> None:
    assert overridden("train.pretrain.length_tokens=2e6") == overridden("train.0.length_tokens=2000000")
    assert overridden("train[0].length_tokens=2e6")["train"][0]["length_tokens"] == 2_000_000  # type: ignore[index]
    assert overridden("sources.b.c.weight=9")["sources"][1] == {"name": "b.c", "weight": 9}  # type: ignore[index]


def test_overrides_hold_yaml_and_make_sections_that_are_missing() -> None:
    result = overridden("export.formats=[hf, gguf]", "evaluate.batch_seqs=4", "train.0.weights={b.c: 3}", "seed=")
    assert result["export"] == {"formats": ["hf", "gguf"]}
    assert result["evaluate"] == {"batch_seqs": 4}
    assert result["train"][0]["weights"] == {"a": 1, "b.c": 3}  # type: ignore[index]
    assert result["seed"] is None


def test_a_weight_by_a_name_with_dots_is_one_key() -> None:
    assert overridden("train.0.weights.b.c=3")["train"][0]["weights"] == {"a": 1, "b.c": 3}  # type: ignore[index]


def test_an_override_removes_an_item_with_null() -> None:
    assert overridden("sources.a=null")["sources"] == [{"name": "b.c", "weight": 2}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", "has no key=value"),
        ("=3", "has no key=value"),
        ("train.1.length_tokens=3", "there is no stage 1; the index must be 0"),
        ("train.-1.length_tokens=3", "there is no stage -1"),
        ("sources.7.weight=3", "the index must be 0 to 1"),
        ("train.pretrian.length_tokens=3", "no stage named 'pretrian'"),
        ("seed.x=3", "seed is not a section"),
        ("export.formats.0=gguf", "export.formats is not a section"),
        ("seed={a: 1, a: 2}", "given twice"),
        ("seed=[1", "not YAML"),
    ],
)
def test_overrides_that_lead_nowhere_say_so(text: str, message: str) -> None:
    with pytest.raises(TreeError) as caught:
        apply_override(tree(BASE), text)
    assert message in caught.value.problems[0].message


def test_a_mistyped_name_gets_the_nearest() -> None:
    with pytest.raises(TreeError) as caught:
        apply_override(tree(BASE), "train.pretrian.length_tokens=3")
    assert caught.value.problems[0].fix == "did you mean pretrain?"


def test_suggestions_prefer_the_same_capitals_and_know_when_to_be_silent() -> None:
    assert suggest("wik", ["Wiki", "wiki"]) == "wiki"
    assert suggest("WIKI", ["Wiki"]) == "Wiki"
    assert suggest("zzz", ["Wiki"]) is None
