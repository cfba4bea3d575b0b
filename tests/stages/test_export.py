import json
from pathlib import Path


def test_both_exports_were_opened_in_their_runtimes_and_agree(finished_run: Path) -> None:
    formats = json.loads((finished_run / "exports" / "export.json").read_text())["formats"]
    assert formats.keys() == {"hf", "gguf"}
    assert "transformers" in formats["hf"]["loaded_with"]
    assert "llama.cpp" in formats["gguf"]["loaded_with"]
    for check in formats.values():
        assert check["largest_logit_difference"] <= check["limit"]
        assert check["texts_with_equal_ids"] >= 200
        assert check["bytes"] > 0
