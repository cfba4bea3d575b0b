from pathlib import Path

from pellucid.report.blocks import Card, Cards, facts_of
from pellucid.report.facts import Fact, Facts
from pellucid.report.markup import paragraph, sample, section, table
from pellucid.report.page import compose
from pellucid.report.sources import sources_of, where
from pellucid.stages.run_folder import open_recipe


def fact(file: str, pointer: str, command: str = "pellucid plan RECIPE") -> Fact:
    return Fact("1", 1, file, pointer, command)


def test_numbers_of_a_column_that_lie_alike_are_one_line() -> None:
    rows = [[name, fact("r.json", f"/sources/{name}/tokens"), fact("r.json", f"/sources/{name}/epochs")] for name in "abc"]
    found = sources_of(section("data", "Data", table(["Source", "Tokens", "Epochs"], rows, caption="")))
    assert [(one.title, one.file, one.pointer, one.places) for one in found] == [
        ("Tokens", "r.json", "/sources/*/tokens", (0, 2, 4)),
        ("Epochs", "r.json", "/sources/*/epochs", (1, 3, 5)),
    ]


def test_in_a_table_of_two_columns_rows_have_the_names_and_steps_are_left_open() -> None:
    rows = [[f"row {n}", fact("m.jsonl", f"/{n}/loss", f"pellucid inspect RUN --step {n}")] for n in range(6)]
    (one,) = sources_of(section("t", "T", table(["Layout", "Value"], rows, caption="")))
    assert one.title == "row 0, row 1, row 2, row 3 and 2 more"
    assert (one.pointer, one.command) == ("/*/loss", "pellucid inspect RUN --step *")


def test_manifests_of_many_folders_are_one_line() -> None:
    rows = [[name, fact(f"{name}/manifest.json", "/seconds", f"pellucid show RUN/{name}")] for name in ("plan", "shards")]
    (one,) = sources_of(section("m", "M", table(["Stage", "Time", ""], rows, caption="")))
    assert (one.file, one.command) == ("*/manifest.json", "pellucid show RUN/*")


def test_commands_keep_what_they_share() -> None:
    def told(*commands: str) -> str:
        rows = [["row", fact("a.json", f"/{n}", command)] for n, command in enumerate(commands)]
        (one,) = sources_of(section("m", "M", table(["", "Value"], rows, caption="")))
        return one.command

    assert told("pellucid show RUN/a/x", "pellucid show RUN/b") == "pellucid show *"
    assert told("pellucid show RUN/a/x", "pellucid show RUN/b/x") == "pellucid show RUN/*/x"
    assert told("pellucid plan RECIPE", "pellucid show RUN/a --full") == "pellucid plan RECIPE; pellucid show RUN/a --full"


def test_text_cards_and_samples_have_their_sources_too() -> None:
    cards = Cards((Card("Cost", (fact("a.json", "/x"),), ((fact("b.json", "/y"),),)),))
    made = section("s", "S", paragraph("it is ", fact("c.json", "/z")), sample("Once\nupon", ("after", fact("d.json", "/0/t"))))
    assert [one.title for one in sources_of(section("f", "F", cards))] == ["Cost", "Cost"]
    assert [one.title for one in sources_of(made)] == ["in the text", "after"]
    assert where("a.json", "") == "a.json" and where("a.json", "/x") == "a.json#/x"


def test_every_number_of_a_run_has_exactly_one_line(finished_run: Path) -> None:
    for one in compose(Facts(finished_run), open_recipe(finished_run)).sections:
        places = sorted(place for source in sources_of(one) for place in source.places)
        assert places == list(range(len(list(facts_of(one)))))
