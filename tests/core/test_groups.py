from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.groups import grouped


@given(st.lists(st.integers(0, 9)), st.integers(1, 20), st.integers(1, 5))
def test_every_item_is_in_one_group_and_groups_end_as_soon_as_they_are_full(sizes: list[int], most: int, most_items: int) -> None:
    groups = list(grouped(sizes, lambda size: size, most, most_items))
    assert [size for group in groups for size in group] == sizes
    for group in groups:
        assert sum(group[:-1]) < most and len(group) <= most_items
    for group in groups[:-1]:
        assert sum(group) >= most or len(group) == most_items
