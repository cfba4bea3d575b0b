from rich.cells import cell_len

from pellucid.cli.colours import colours_of, legend


def test_sources_have_different_colours_while_there_are_enough_and_colours_come_again_after_that() -> None:
    names = [f"source-{n}" for n in range(14)]
    colours = colours_of(names)
    assert len(set(colours.values())) == 14
    assert colours_of(reversed(names)) == colours
    many = colours_of([*names, *(f"z-more-{n}" for n in range(100))])
    assert len(many) == 114
    assert {name: many[name] for name in names} == colours


def test_a_name_has_its_colour_in_every_recipe_unless_another_took_it() -> None:
    assert colours_of(["web", "code"])["code"] == colours_of(["code", "wiki"])["code"] == colours_of(["code"])["code"]
    assert colours_of(["books", "code"])["code"] != colours_of(["code"])["code"], "these two wish for the same"


def test_a_legend_keeps_name_and_count_on_one_line_within_the_width() -> None:
    counts = {f"source-{n}": n for n in range(30)}
    lines = legend("by source:", counts, colours_of(counts), 40).plain.splitlines()
    assert all(cell_len(line) <= 40 for line in lines)
    entries = [entry for line in lines for entry in line.removeprefix("by source:").split("  ") if entry]
    assert entries == [f"■ source-{n} {n}" for n in reversed(range(30))]
