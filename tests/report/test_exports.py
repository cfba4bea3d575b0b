from pathlib import Path

from pellucid.core.files import read_json, write_json
from pellucid.report.exports import EXPORT, exports
from pellucid.report.facts import Facts
from pellucid.report.html import Html
from pellucid.stages.run_folder import open_recipe


def page_of(folder: Path, run: Path) -> str:
    section = exports(Facts(folder), open_recipe(run))
    assert section is not None
    return Html().block(section)


def test_every_export_stands_with_the_runtime_that_opened_it_and_its_figures_link_to_the_certificate(finished_run: Path) -> None:
    html = page_of(finished_run, finished_run)
    entries = read_json(finished_run / EXPORT)["formats"]
    assert set(entries) == {"hf", "gguf-F16", "gguf-Q8_0"}
    for name, entry in entries.items():
        assert f"<i>/formats/{name}/certificate/distributions/kl_nats/mean</i>" in html
        assert f"{entry['certificate']['distributions']['kl_nats']['mean']:.3g}" in html
    assert html.count(">llama.cpp<") == 2 and html.count(">transformers<") == 1


def test_an_adapter_has_a_table_of_its_own_and_questions_may_be_missing(finished_run: Path, tmp_path: Path) -> None:
    written = read_json(finished_run / EXPORT)
    certificate = written["formats"]["hf"]["certificate"] | {"questions": None}
    facts = {"loaded_with": "peft 0.21.2", "largest_logit_difference": 1.5e-6, "limit": 1e-4, "positions": 252, "bytes": 2048}
    formats = {"hf": written["formats"]["hf"] | {"certificate": certificate}}
    formats["peft"] = {"place": "peft", "facts": facts, "certificate": None}
    write_json(tmp_path / EXPORT, {"formats": formats, "checkpoint_step": 1})
    html = page_of(tmp_path, finished_run)
    assert html.count("<table") == 3 and "peft 0.21.2" in html and "1.5e-06" in html
    assert "questions/same_choice_frac" not in html


def test_it_is_said_what_was_exported_and_that_its_perplexity_is_of_another_text(finished_run: Path) -> None:
    html = page_of(finished_run, finished_run)
    assert "Exported was the checkpoint of self_knowledge after step " in html and "<i>/checkpoint_step</i>" in html
    assert "that of the held-out scores is of all held-out text, and of another checkpoint, <" in html
    assert "<i>/formats/gguf-F16/certificate/distributions/perplexity/tokens</i>" in html
