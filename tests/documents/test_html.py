import sys

import pytest

from pellucid.core.errors import MissingExtraError
from pellucid.documents.html import main_text

PARAGRAPHS = [
    "The lighthouse on the northern cape was built in the year of the great storm, and three families have kept it since.",
    "Its lamp burns with oil that is brought over the mountain road in spring, because ships can seldom land on the rocks.",
    "Visitors may climb the tower between May and September, if the keeper is told of their coming a week before they arrive.",
]
PAGE = f"""<html><head><title>Cape</title><script>var secret = 1;</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<article><h1>The lighthouse</h1>{"".join(f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS)}<p>{PARAGRAPHS[0]}</p></article>
<div class="comments"><p>First! What a nice lighthouse that is, I like it so much.</p></div>
<footer>Copyright, all rights reserved, cookies, privacy</footer></body></html>"""


def test_without_the_extractor_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pellucid\[web\]'"):
        main_text(PAGE)


@pytest.fixture
def extractor() -> None:
    pytest.importorskip("trafilatura", exc_type=ImportError)


@pytest.mark.usefixtures("extractor")
def test_the_article_is_taken_and_navigation_comments_and_scripts_are_not() -> None:
    text = main_text(PAGE)
    assert text is not None
    assert all(paragraph in text for paragraph in PARAGRAPHS)
    for other in ("About us", "secret", "Copyright", "First!"):
        assert other not in text


@pytest.mark.usefixtures("extractor")
def test_a_page_gives_the_same_text_however_often_it_was_read_before() -> None:
    assert len({main_text(PAGE) for _ in range(6)}) == 1


@pytest.mark.usefixtures("extractor")
@pytest.mark.parametrize("page", ["", "plain words", "<html><body></body></html>", "\x00\x01", "<" * 5000, "<p>" * 3000])
def test_what_holds_no_main_text_gives_none_or_a_text_and_no_error(page: str) -> None:
    text = main_text(page)
    assert text is None or text.strip()
