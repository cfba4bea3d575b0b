from pellucid.core.seeds import derive_seed
from pellucid.evals.sampling import pick

NAMES = [f"item {n}" for n in range(300)]


def own(name: str) -> str:
    return name


def test_subsets_are_nested_and_keep_the_order_of_the_items() -> None:
    hundred, two_hundred = (pick(NAMES, limit, 1, "task", key=own) for limit in (100, 200))
    assert len(hundred) == 100 and set(hundred) < set(two_hundred)
    assert hundred == sorted(hundred, key=NAMES.index)


def test_the_choice_is_a_matter_of_seed_labels_and_names_alone() -> None:
    some = pick(NAMES, 50, 1, "task", key=own)
    assert set(pick(NAMES[::-1], 50, 1, "task", key=own)) == set(some)
    assert set(some) == set(sorted(NAMES, key=lambda name: derive_seed(1, "task", name))[:50])
    assert set(pick(NAMES, 50, 2, "task", key=own)) != set(some) != set(pick(NAMES, 50, 1, "other", key=own))


def test_a_limit_that_is_not_reached_takes_all() -> None:
    assert pick(NAMES, None, 1, key=own) == pick(NAMES, 300, 1, key=own) == pick(NAMES, 400, 1, key=own) == NAMES
    assert pick(NAMES, 0, 1, key=own) == []
