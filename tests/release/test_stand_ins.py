from pathlib import Path

from pellucid.core.files import sha256_file
from pellucid.release.selection import LeftOut, Selection
from pellucid.release.stand_ins import write_stand_ins


def test_a_page_that_is_linked_and_left_out_says_why(tmp_path: Path) -> None:
    page = LeftOut("report/data.html", 9, "a" * 64, "it quotes <b>\u202e documents")
    selection = Selection({}, [LeftOut("shards/x/train/0.bin", 1, "b" * 64, "asked"), page])
    assert write_stand_ins(selection, tmp_path) == ["report/data.html"]
    text = (tmp_path / "report" / "data.html").read_text()
    assert "it quotes &lt;b&gt;⟨U+202E⟩ documents" in text and "release.json" in text
    assert selection.left_out[1].as_json()["stand_in"] == sha256_file(tmp_path / "report" / "data.html")
    assert "stand_in" not in selection.left_out[0].as_json()


def test_nothing_is_written_for_what_is_there(tmp_path: Path) -> None:
    assert write_stand_ins(Selection({"report/data.html": None}, []), tmp_path) == [] and not list(tmp_path.iterdir())
