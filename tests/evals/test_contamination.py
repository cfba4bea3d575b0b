"""Questions planted in real texts in seven languages are found in the shards made of them, and no others are."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pellucid.core.artifacts import Key as ArtifactKey
from pellucid.core.artifacts import building
from pellucid.core.errors import ArtifactError
from pellucid.documents.decontamination.find import find_hits
from pellucid.documents.decontamination.index import build_index
from pellucid.documents.decontamination.items import Item
from pellucid.documents.document import Document, digest_text
from pellucid.documents.store import DocumentWriter, iter_split
from pellucid.documents.words import hash_words
from pellucid.evals.contamination import Contamination, TrainingText, lookup, open_training_text, texts_of
from pellucid.evals.results import Record, summarise
from pellucid.recipe.data import FimConfig, ShardsConfig
from pellucid.recipe.documents import DecontaminateConfig
from pellucid.shards.coding import Coding
from pellucid.shards.fim import cutter_for
from pellucid.shards.join import join_parts
from pellucid.shards.writer import write_part
from pellucid.tokenizer.training import train_bpe

QUESTION = "Janet's ducks lay 16 eggs per day; she eats three for breakfast every morning and bakes muffins for her friends. 18"
GERMAN = "Welche der folgenden Städte liegt am weitesten nördlich von der Mündung der Elbe in die Nordsee? Kopenhagen"
CHINESE = "下列哪一个城市位于长江的入海口附近并且是中国最大的港口?上海"
RUSSIAN = "Какой из следующих городов расположен дальше всего к северу от устья реки Волги и её притоков? Ярославль"
SHORT = "What is the name of the longest river in Africa?"
NOWHERE = "A train leaves the station at nine and meets another one that left an hour later from the town across the lake. Noon"
TINY = "2 + 2 = 4"

ITEMS = {
    ("gsm8k", "7"): QUESTION,
    ("arc_de", "0"): GERMAN,
    ("arc_zh", "0"): CHINESE,
    ("arc_ru", "0"): RUSSIAN,
    ("trivia", "a"): SHORT,
    ("gsm8k", "8"): NOWHERE,
    ("sums", "0"): TINY,
    ("sums", "1"): {"question": "And the sum of the numbers on the two wooden dice is", "choices": ["odd", "even"], "answer": 1},
}
FILLER = {
    "en": "The road went over the hill and down to the water where boats lay in the sun",
    "de": "Der Weg führte über den Hügel hinab ans Wasser, wo Boote in der Sonne lagen",
    "zh": "小路翻过山丘一直通到水边船只停在阳光下面",
    "ru": "Дорога шла через холм и вниз к воде где лодки лежали на солнце",
}


def shuffled(text: str, seed: int) -> str:
    words = (text.split() if " " in text else list(text)) * 4
    random.Random(seed).shuffle(words)
    return " ".join(words)


def documents(*, planted: bool) -> dict[str, list[str]]:
    texts = {source: [shuffled(FILLER[language], number) for number in range(30)] for source, language in
             (("web", "en"), ("books", "de"), ("forum", "zh"), ("papers", "ru"))}  # fmt: skip
    if planted:
        texts["web"][11] += f" ... {QUESTION.upper().replace(' ', '  ')} !!! " + texts["web"][12]
        texts["web"][20] = SHORT.lower().replace(" ", "\n")
        texts["books"][3] = f"{texts['books'][3]} „{GERMAN.replace('?', ' —')}“ {texts['books'][4]}"
        texts["forum"][5] += CHINESE
        texts["papers"][29] = RUSSIAN
        texts["papers"][2] += " " + " ".join(QUESTION.split()[:14]) + " " + texts["papers"][3]
    return texts


def make_run(run: Path, texts: dict[str, list[str]], fim: FimConfig | None = None) -> TrainingText:
    """Documents, a tokenizer learnt from them, and shards of several parts, by the code that a run's stages call."""
    for source, members in texts.items():
        with DocumentWriter(run / "documents" / source / "train" / "00000.parquet") as writer:
            for number, text in enumerate(members):
                name = f"{source}/{number}"
                writer.write(Document(name, text, source, "en", "CC0-1.0", "here", digest_text(text)))
    tokenizer = train_bpe([text for members in texts.values() for text in members], 400)
    tokenizer.save(run / "tokenizer")
    config = ShardsConfig(shard_tokens=1024, max_special_frac=1.0)
    with building(run / "shards", ArtifactKey("shards", 2, 0, {})) as build:
        for source in texts:
            cutter = cutter_for(fim, 1, source, tokenizer.special) if fim is not None else None
            coding = Coding(tokenizer.encode_batch, tokenizer.eos_id, tokenizer.vocab_tokens, tokenizer.special, cutter)
            members = list(iter_split(run / "documents", source, "train"))
            parts = [members[:7], members[7:]]
            out = build.path / source / "train"
            for number, part in enumerate(parts):
                write_part(part, coding, config, out, f"{number:05d}")
            join_parts(out, ["00000", "00001"], coding, config)
    return open_training_text(run)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> TrainingText:
    return make_run(tmp_path_factory.mktemp("planted"), documents(planted=True))


@pytest.fixture(scope="module")
def found(planted: TrainingText) -> Contamination:
    return lookup(ITEMS, planted)


def test_planted_items_are_found_in_any_case_and_punctuation_and_language(found: Contamination) -> None:
    where = {key: [(match.source, match.document, match.words) for match in one.matches] for key, one in found.found.items()}
    assert where == {
        ("gsm8k", "7"): [("web", "web/11", 22), ("papers", "papers/2", 15)],
        ("arc_de", "0"): [("books", "books/3", 17)],
        ("arc_zh", "0"): [("forum", "forum/5", len(CHINESE) - 1)],
        ("arc_ru", "0"): [("papers", "papers/29", 17)],
        ("trivia", "a"): [("web", "web/20", 10)],
    }
    ducks = found.found["gsm8k", "7"]
    assert ducks.documents == 2 and ducks.sources == {"papers": 1, "web": 1} and ducks.covered == 1.0
    assert ducks.matches[0].text.startswith("JANET'S DUCKS LAY 16 EGGS PER DAY; SHE")


def test_others_are_clean_and_what_is_too_short_is_neither(found: Contamination) -> None:
    assert found.clean == {("gsm8k", "8"), ("sums", "1")}
    assert found.untold == {("sums", "0")}
    verdicts = [found.is_clean(Record(task, item)) for task, item in ITEMS]
    assert verdicts == [False, False, False, False, False, True, None, True]
    assert found.is_clean(Record("gsm8k", "never asked")) is None


def test_nothing_is_found_where_nothing_is_planted(tmp_path: Path) -> None:
    none = lookup(ITEMS, make_run(tmp_path, documents(planted=False)))
    assert none.found == {} and len(none.clean) == len(ITEMS) - 1


def test_the_shards_give_what_the_documents_give(planted: TrainingText, found: Contamination) -> None:
    keys = list(ITEMS)[:6]
    index = build_index([Item("x", n, (str(ITEMS[key]),)) for n, key in enumerate(keys)], DecontaminateConfig(benchmarks=("x",)))
    expected: dict[tuple[str, str], set[tuple[str, str, int]]] = {}
    for source in planted.sources:
        for document in iter_split(planted.run / "documents", source, "train"):
            hits = find_hits(hash_words([document.text]), index)
            for item, words in zip(hits.item_H, hits.words_H, strict=True):
                expected.setdefault(keys[int(item)], set()).add((source, document.id, int(words)))
    assert {key: {(m.source, m.document, m.words) for m in one.matches} for key, one in found.found.items()} == expected


def grams(text: str) -> Iterator[tuple[str, ...]]:
    words = "".join(char if char.isalnum() else " " for char in text.lower()).split()
    yield from (tuple(words[at : at + 13]) for at in range(len(words) - 12))


def test_the_share_of_an_items_words_is_that_of_a_count_by_hand(tmp_path: Path) -> None:
    whole = " ".join(FILLER["en"].split()[:8] + QUESTION.split())
    for cut in (0, 3, 12):
        words = whole.split()
        seen = " ".join(words[cut : cut + 15])
        run = make_run(
            tmp_path / str(cut), {"web": [shuffled(FILLER["de"], 1) + " " + seen + " so", *documents(planted=False)["web"]]}
        )
        spelt = "".join(char if char.isalnum() else " " for char in whole.lower()).split()
        known = set(grams(seen))
        inside = {at + place for at, gram in enumerate(grams(whole)) if gram in known for place in range(13)}
        found = lookup({("t", "0"): whole}, run).found["t", "0"]
        assert found.covered == len(inside) / len(spelt) < 1


def test_fill_in_the_middle_hides_nothing(tmp_path: Path) -> None:
    plain = lookup(ITEMS, make_run(tmp_path / "plain", documents(planted=True)))
    moved = lookup(ITEMS, make_run(tmp_path / "moved", documents(planted=True), FimConfig(rate=1.0, spm_frac=0.5)))
    assert moved.found == plain.found


def test_questions_that_stand_in_two_tasks_are_found_in_both(planted: TrainingText) -> None:
    both = lookup({("a", "1"): GERMAN, ("b", "x"): GERMAN, ("c", "2"): NOWHERE}, planted)
    assert set(both.found) == {("a", "1"), ("b", "x")} and both.found["a", "1"] == both.found["b", "x"]


def test_texts_beside_the_shards_are_searched_too(planted: TrainingText) -> None:
    talk = {"chat": [("talk/1", "Hello."), ("talk/2", f"User: {NOWHERE}")]}
    one = lookup(ITEMS, planted, others=talk)
    assert one.found["gsm8k", "8"].sources == {"chat": 1} and one.found["gsm8k", "8"].matches[0].document == "talk/2"
    assert one.about["other_texts"] == ["chat"]


def test_several_processes_and_small_slices_find_the_same(
    planted: TrainingText, found: Contamination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.evals.contamination._SLICE_TOKENS", 700)
    monkeypatch.setattr("pellucid.evals.contamination._PARALLEL_FROM_TOKENS", 0)
    assert lookup(ITEMS, planted, workers=2).found == found.found


def test_the_account_says_what_was_searched_and_scores_have_clean_ones(planted: TrainingText, found: Contamination) -> None:
    account = found.as_json()
    assert account["looked_up"] == 8 and account["contaminated"] == 5 and account["cannot_be_told"] == 1
    assert account["by_task"]["gsm8k"] == {"looked_up": 2, "clean": 1, "contaminated": 1, "cannot_be_told": 0}
    assert account["by_source"]["web"] == {"items": 2, "matches": 2}
    assert account["training"]["shards"] == planted.digest and account["training"]["documents"] == 120
    assert account["items"]["gsm8k"]["7"]["matches"][0]["document"] == "web/11"
    records = [Record(task, item, {"acc": float(found.is_clean(Record(task, item)) is False)}) for task, item in ITEMS]
    table = summarise(records, 1, found.is_clean)["gsm8k"]
    assert table["metrics"]["acc"]["value"] == 0.5 and table["clean"]["metrics"]["acc"]["value"] == 0.0


def test_texts_come_from_the_records_that_have_one() -> None:
    records = [
        Record("t", "0", text=QUESTION),
        Record("t", "1"),
        Record("t", "2", text={"question": SHORT}),
    ]
    assert texts_of(records) == {("t", "0"): QUESTION, ("t", "2"): {"question": SHORT}}


def test_without_items_nothing_is_read(planted: TrainingText) -> None:
    assert lookup({}, planted).as_json()["looked_up"] == 0
    assert lookup({("t", "0"): "  "}, planted).untold == {("t", "0")}


def test_missing_and_damaged_shards_are_named(planted: TrainingText, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest.json is missing"):
        open_training_text(tmp_path)
    run = make_run(tmp_path / "run", documents(planted=False))
    (run.shards / "web" / "train" / "00001.bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"00001.bin has 0 bytes"):
        lookup(ITEMS, run)


def test_real_excerpts_of_a_real_run_are_found_and_shuffled_ones_are_not(finished_run: Path) -> None:
    excerpts, wrong, origin = {}, {}, {}
    for source in sorted(path.name for path in (finished_run / "documents").iterdir() if path.is_dir()):
        for number, document in enumerate(iter_split(finished_run / "documents", source, "train")):
            words = document.text.split()
            if number < 3 and len(words) > 60:
                item = ("real", f"{source} {number}")
                excerpts[item], origin[item] = " ".join(words[20:50]), (source, document.id)
                mixed = words[20:50]
                random.Random(number).shuffle(mixed)
                wrong["mixed", item[1]] = " ".join(mixed)
    result = lookup(excerpts | wrong, open_training_text(finished_run))
    assert len(excerpts) > 10 and set(result.found) == set(excerpts)
    for key, one in result.found.items():
        assert origin[key] in {(match.source, match.document) for match in one.matches}
        assert one.covered == 1.0


def test_distinct_neighbours_are_cut_between_documents(planted: TrainingText) -> None:
    from pellucid.evals.contamination import _slices
    from pellucid.shards.stream import TokenStream

    stream = TokenStream(planted.shards / "web" / "train")
    slices = _slices("web", stream, planted, planted.run)
    assert [one.begin for one in slices] == [0] and slices[-1].end == stream.documents
    assert all(one.end == two.begin for one, two in pairwise(slices)) and sum(one.tokens for one in slices) == stream.tokens


def brackets(number: int) -> str:
    """A question whose items differ in what are no words alone, as those of dyck_languages do."""
    signs = "".join("([{<"[number // 4**place % 4] for place in range(6))
    return f"Complete the rest of the sequence and make sure that all of the parentheses are closed properly now {signs}"


@pytest.mark.parametrize("count", [1, 40])
def test_a_question_that_very_many_items_share_tells_none_of_them(tmp_path: Path, count: int) -> None:
    texts = documents(planted=False)
    texts["web"][3] += " " + brackets(0) + " " + texts["web"][4]
    asked = {("dyck", str(number)): brackets(number) for number in range(count)} | {("gsm8k", "8"): NOWHERE}
    result = lookup(asked, make_run(tmp_path, texts))
    dyck = {key for key in asked if key[0] == "dyck"}
    assert (set(result.found), set(result.untold)) == ((dyck, set()) if count == 1 else (set(), dyck))
    assert result.clean == {("gsm8k", "8")}


def test_a_question_of_numbers_is_found_for_each_item_that_has_it(tmp_path: Path) -> None:
    table = " ".join(str(number) for number in range(100, 120))
    texts = documents(planted=False)
    texts["web"][3] += f" {table} " + texts["web"][4]
    asked = {("t", str(n)): {"question": table, "answer": answer} for n, answer in enumerate(("odd", "even", "prime"))}
    found = lookup(asked, make_run(tmp_path, texts))
    assert set(found.found) == set(asked) and {one.covered for one in found.found.values()} == {1.0}
