import sys

import pytest

from pellucid.core.errors import MissingExtraError
from pellucid.report.canvas import canvas, plain_name, svg_of


def test_the_same_figure_gives_the_same_bytes_and_letters_stay_letters() -> None:
    def draw() -> str:
        figure, axes = canvas(3, 2)
        axes.plot([1, 2], [3, 4], label=plain_name("a"))
        axes.set_xlabel(plain_name("tokens"))
        return svg_of(figure)

    svg = draw()
    assert svg == draw()
    assert ">tokens</text>" in svg
    assert "<metadata" not in svg


def test_names_are_shown_as_they_are() -> None:
    assert plain_name("$x_1$") == r"\$x_1\$"
    assert plain_name("_hidden").endswith("_hidden")
    assert plain_name("_hidden") != "_hidden"  # matplotlib would leave it out of legends
    figure, axes = canvas(3, 2)
    axes.set_xlabel(plain_name("a $b$"))
    assert "a $b$" in svg_of(figure)


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pellucid\[report\]"):
        canvas(1, 1)
