"""Lines of a page that are no text go, in seven languages; headings, tables, code, verse and real documents stay."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.boilerplate import apply, find_lines
from pellucid.recipe.cleaning import BoilerplateStep

POCKET = Path(__file__).resolve().parents[3] / "corpora/pocket"
STEP = BoilerplateStep(step="boilerplate")


@pytest.mark.parametrize(
    "line",
    [
        "Read more »", "Share on Facebook", "3 comments", "1,204 views", "[12 replies]", "Skip to main content", "Leave a Reply",
        "The best beaches of Crete ... read more", "Posted by admin on 3 May 2011", "Privacy Policy", "5 min read", "1.2k likes",
        "We use cookies to give you the best experience on our website. By going on you agree to this.",
        "Please enable JavaScript in your browser to see this page.",
        "Weiterlesen …", "12 Kommentare", "Teilen auf Twitter", "Datenschutzerklärung |",
        "Wir verwenden Cookies, um unsere Website für Sie zu verbessern.",
        "Leer más", "Compartir en Facebook", "4 comentarios", "Utilizamos cookies propias y de terceros en este sitio.",
        "Lire la suite...", "Partager sur Facebook", "Ajouter au panier", "Nous utilisons des cookies pour améliorer votre visite.",
        "Leggi tutto", "Condividi su Facebook", "7 commenti", "Questo sito utilizza i cookies per offrirti il meglio.",
        "Lees verder", "Deel op Facebook", "3 reacties", "Wij gebruiken cookies om onze website te verbeteren.",
        "Leia mais", "Compartilhar no Facebook", "2 comentários", "Nós utilizamos cookies para melhorar sua visita.",
    ],
)  # fmt: skip
def test_a_telling_line_goes_by_itself(line: str) -> None:
    assert find_lines(["A sentence of the text.", line, "Another sentence."]) == [1]


@pytest.mark.parametrize("words", ["enable", "enable a b c ", "use a b c "])
def test_a_notice_has_at_most_600_characters_and_longer_lines_take_no_time(words: str) -> None:
    notice = "Please enable JavaScript in your browser, {} thank you."
    assert find_lines([notice.format("x" * 500)]) == [0]
    assert find_lines([notice.format("x" * 600)]) == []
    assert find_lines(["cookie javascript " + words * 400_000]) == []
    assert find_lines([f"{number} cookie {words * 90}"[:600] for number in range(1000)]) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["ACT III", "HAMLET", "To be, or not to be, that is the question:"],
        ["Name", "12", "1987", "TOTAL", "Share", "100"],
        ["Contact us", "You find us in the old harbour."],
        ["# Read more", "33.2 Share", "6.34.2.3. Comments", "Share tool options between devices"],
        ["Read more than one book a month.", "To learn more, click here:", "He has 3 comments to make on the second page."],
        ["```", "Read more", "SHARE", "```"],
        ["    Read more", "\tShare on Facebook"],
        ["O Captain! my Captain!", "Rise", "UP", "Here Captain! dear father!"],
        [
            "My grandmother bakes cookies every year.",
            "JavaScript is a language of browsers.",
            "The fortune cookie is from our site.",
        ],
        ["}", "});", "0x1F", "END IF"],
        ["Es war einmal ein Kommentar.", "Il a lu la suite de l'article.", "Ele disse que saiba mais quem lê."],
    ],
)
def test_text_that_looks_like_it_stays(lines: list[str]) -> None:
    assert find_lines(lines) == []


def test_doubtful_lines_go_between_telling_ones_only() -> None:
    page = [
        "HOME",
        "Products",
        "Contact us",
        "",
        "Sign in",
        "2024",
        "A sentence of text.",
        "NOTE",
        "More text.",
        "Share",
        "Tweet",
        "17",
    ]
    assert find_lines(page) == [0, 1, 2, 4, 5, 9, 10, 11]


def test_what_is_left_reads_as_one_text_and_is_counted() -> None:
    text = "First paragraph " * 30 + "\n\nRead more »\n\n" + "Second paragraph " * 30 + "\nShare on Facebook\n"
    batch = TextBatch([text, "Nothing to remove."], ["en", "en"])
    apply(batch, STEP)
    assert batch.texts[0] == "First paragraph " * 30 + "\n\n" + "Second paragraph " * 30 + "\n"
    assert batch.edits == {"boilerplate: lines": 2}
    assert batch.alive_N.all()


def test_a_page_that_is_mostly_boilerplate_is_dropped_as_it_was() -> None:
    text = "Sign in\nAdd to cart\nA few words of text.\nRead more"
    batch = TextBatch([text], ["en"])
    apply(batch, STEP)
    assert batch.reasons == ["boilerplate: too much"]
    assert batch.details == ["0.5833"]
    assert batch.texts == [text]
    assert not batch.edits


@given(st.lists(st.sampled_from(["Read more", "Share", "", "UP", "Text of a sentence.", "12", "```", "    code"]), max_size=12))
def test_only_whole_lines_go_and_a_second_pass_finds_no_telling_line(lines: list[str]) -> None:
    batch = TextBatch(["\n".join(lines)], ["en"])
    apply(batch, STEP.model_copy(update={"max_removed_frac": 1.0}))
    kept = batch.texts[0].split("\n") if batch.texts[0] else []
    rest = iter(lines or [""])
    assert all(line in rest for line in kept)
    inside = False
    for line in kept:
        inside ^= line == "```"
        assert inside or line != "Read more"


def test_hardly_a_line_of_the_pocket_corpus_goes() -> None:
    lines = gone = 0
    for path in sorted(POCKET.glob("*.parquet")):
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist()[::5]:
            lines += text.count("\n") + 1
            gone += len(find_lines(text.split("\n")))
    assert lines > 100_000
    assert gone / lines < 2e-4
