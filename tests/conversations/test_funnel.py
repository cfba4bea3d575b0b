import json
from pathlib import Path

from pellucid.conversations.funnel import Drops, Funnel, SourceFunnel


def test_the_first_few_of_each_reason_are_shown_in_order_and_all_are_counted() -> None:
    first, later = Drops(), Drops()
    for number in range(2):
        first.add("empty answer", f"a:{number}", "has nothing", "begins so")
    for number in range(5):
        later.add("empty answer", f"b:{number}", "has nothing")
    later.add("no answer", "b:9", "")
    first.merge(later)
    assert first.counts == {"empty answer": 7, "no answer": 1}
    assert [one["where"] for one in first.shown["empty answer"]] == ["a:0", "a:1", "b:0"]
    assert first.shown["empty answer"][0]["beginning"] == "begins so"
    assert first.shown["no answer"] == [{"where": "b:9"}]


def test_an_account_is_whole_when_nothing_is_lost(tmp_path: Path) -> None:
    account = SourceFunnel("alpaca", 512, read=4)
    account.drops.add("no answer", "a:1", "")
    account.splits["train"].add(0)
    account.splits["train"].add(7)
    assert not account.is_whole
    account.splits["heldout"].add(0)
    assert account.is_whole
    Funnel({"talks": account}).write(tmp_path / "funnel.json")
    read = json.loads((tmp_path / "funnel.json").read_text())["sources"]["talks"]
    assert read["read"] == read["kept"] + read["heldout"] + sum(read["dropped"].values())
    assert read["splits"]["train"] == {"examples": 2, "tokens": 0, "target_tokens": 0, "truncated": 1, "truncated_tokens": 7}
