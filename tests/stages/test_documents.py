import json
from pathlib import Path

from pellucid.core.artifacts import read_manifest


def test_every_raw_file_is_an_input_and_every_record_is_accounted_for(finished_run: Path) -> None:
    manifest = read_manifest(finished_run / "documents", "documents")
    assert len(manifest.inputs) == 5
    funnel = json.loads((finished_run / "documents" / "funnel.json").read_text())["sources"]
    for source in funnel.values():
        assert source["read"] == source["kept"] + source["heldout"] + sum(r["documents"] for r in source["dropped"].values())
    assert manifest.summary["kept"] == sum(source["kept"] for source in funnel.values()) > 0


def test_weights_play_no_part_in_documents(finished_run: Path) -> None:
    sources = read_manifest(finished_run / "documents").config["sources"]
    assert all("weight" not in source for source in sources)
