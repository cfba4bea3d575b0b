from collections.abc import Callable
from pathlib import Path
from typing import Any

from pellucid.recipe.cleaning import PiiStep
from pellucid.release.account import Account
from pellucid.release.data_cards import card_of, write_data_cards
from pellucid.release.openness import openness
from pellucid.release.packages import closure_of
from pellucid.release.selection import Selection
from pellucid.release.sources import sources_of
from pellucid.stages.run_folder import open_recipe


def test_there_is_a_card_for_every_source_of_text_and_of_conversations(account: Account, tmp_path: Path) -> None:
    written = write_data_cards(account, tmp_path)
    assert len(written) == 9 and "data-cards/conversations-chatterbot.md" in written
    assert all((tmp_path / name).read_text().startswith("# ") for name in written)


def test_a_card_has_origin_licences_records_tokens_and_epochs(account: Account) -> None:
    source = next(one for one in account.sources if one.name == "three-js.en")
    card = card_of(account, source)
    funnel, taken = account.funnels["documents", "three-js.en"], account.consumed["documents", "three-js.en"]
    for told in (
        "| Read from | ../corpora/pocket/three-js.en.parquet |",
        f"| MIT | {funnel['kept'] + funnel['heldout']} | yes | yes |",
        f"| kept to train on | {funnel['kept']} |",
        f"{taken.tokens:,} tokens".replace(",", " "),
        f"| pretrain | {taken.epochs['pretrain']:.3f} |",
        "the recipe has no step `pii`",
        "was not searched for questions of benchmarks",
    ):
        assert told in card, told


def test_dropped_records_masked_data_and_empty_sources_are_told(documents_run: Path) -> None:
    recipe = open_recipe(documents_run)
    documents = recipe.documents.model_copy(update={"clean": (PiiStep(step="pii"),)})
    recipe = recipe.model_copy(update={"conversations": (), "documents": documents})
    account = Account(documents_run, recipe, sources_of(documents_run, recipe), Selection())
    cards = {source.name: card_of(account, source) for source in account.sources}
    assert "| dropped: gopher\\_quality" in cards["web"] or "| dropped: gopher_quality: too &lt;few&gt; words |" in cards["web"]
    assert "Masked by the recipe's step `pii` (kinds ('email', 'ip'))" in cards["web"]
    assert "No record is left of this source." in cards["gone"] and "no record is left" in cards["gone"]
    assert "The revision of the data set is not pinned" in cards["gone"]
    assert "<b>" not in cards["web"]


def test_conversations_that_are_left_out_are_said_to_be_though_their_indices_stay(
    account_of: Callable[..., Account], finished_run: Path
) -> None:
    account = account_of(finished_run, without=("conversations",))
    told = {source.key: card_of(account, source) for source in account.sources}
    for kind, name in (("conversations", "chatterbot"), ("written", "self_knowledge")):
        assert "| In this release | left out |" in told[kind, name]
    assert "| In this release | documents/three-js.en |" in told["documents", "three-js.en"]
    assert "instructions is left out" in datasets(account)["remark"] and not datasets(account)["present"]


def datasets(account: Account) -> dict[str, Any]:
    told = openness(account, closure_of({}, []), code=True)
    return next(one for one in told["components"] if one["id"] == "datasets")


def test_examples_that_the_model_wrote_have_a_card_under_the_release_s_licence(account: Account) -> None:
    (source,) = (one for one in account.sources if one.kind == "written")
    card = card_of(account, source)
    taken = account.consumed[source.key]
    assert "| Kind | examples that the model wrote itself |" in card and "Its examples are under Apache-2.0" in card
    assert f"{taken.tokens:,} tokens".replace(",", " ") in card and "| In this release | self_knowledge/data |" in card
