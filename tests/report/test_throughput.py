import re
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.files import write_json
from pellucid.report.blocks import Section
from pellucid.report.facts import Facts
from pellucid.report.html import render
from pellucid.report.throughput import THROUGHPUT, remarks, throughput
from pellucid.stages.run_folder import open_recipe


def spread(*values: float) -> dict[str, Any]:
    return {"median": sorted(values)[len(values) // 2], "min": min(values), "max": max(values), "rounds": list(values)}


def written(schema: int = 1) -> dict[str, Any]:
    figures = {name: spread(10.5, 17.25, 20.125) for name in ("prompt_tokens_per_s", "decode_tokens_per_s", "tokens_per_s")}
    figures |= {"first_token_s": spread(0.0125), "cpu_frac": spread(1.0), "watts": None, "joules_per_token": None}
    powered = figures | {"watts": spread(35.5), "joules_per_token": spread(2.25)}
    memory = {"before_bytes": 2**20, "peak_bytes": 3 * 2**20, "gpu_peak_bytes": 0}
    one = {
        "name": "llama.cpp Q4_0", "program": "llama.cpp", "weights": "Q4_0", "version": "<b>7</b>", "how": "its own library",
        "bytes": 2048, "memory": memory, "load_s": 0.25, "missing": None, "batches": {"1": figures, "8": powered},
    }  # fmt: skip
    gone = one | {"name": "MLX", "program": "MLX", "weights": "", "bytes": None, "missing": "no such export", "batches": {}}
    return {
        "schema": schema,
        "settings": {"rounds": 3, "prompt_tokens": 64, "new_tokens": 32, "threads": 1},
        "environment": {"processor": "a processor"},
        "energy": {"counters": [], "missing": {"NVML": "no driver"}},
        "contestants": [one, gone],
    }


def page_of(section: Section | None) -> str:
    assert section is not None
    return render(section)


def stands(html: str, text: str, pointer: str) -> int:
    """How often a number stands there with this pointer beside it."""
    return len(re.findall(rf">{re.escape(text)}</a><span class=.src.[^>]*><a[^>]*>[^<]*</a> <i>{re.escape(pointer)}</i>", html))


def test_figures_link_to_where_they_stand_and_what_was_not_measured_is_said(finished_run: Path, tmp_path: Path) -> None:
    write_json(tmp_path / THROUGHPUT, written())
    html = page_of(throughput(Facts(tmp_path), open_recipe(finished_run)))
    assert stands(html, "17.2", "/contestants/0/batches/1/decode_tokens_per_s/median")
    assert stands(html, "35.5", "/contestants/0/batches/8/watts/median")
    assert html.count('<td class="number">not measured</td>') == 2
    assert "12.5</a>" in html and "3 MiB</a>" in html and "&lt;b&gt;7" in html
    assert "<p>Not measured: MLX: no such export.</p><p>Not measured: watts by NVML: no driver.</p>" in html


def test_a_file_from_before_devices_and_reasons_were_recorded_is_still_shown(finished_run: Path, tmp_path: Path) -> None:
    old = written()
    old["contestants"][1] |= {"missing": None, "batches": old["contestants"][0]["batches"], "settings": {"device": "cuda:0"}}
    write_json(tmp_path / THROUGHPUT, old)
    html = page_of(throughput(Facts(tmp_path), open_recipe(finished_run)))
    assert html.count("<td>not recorded</td>") == 2
    assert stands(html, "cuda:0", "/contestants/1/settings/device") == 2
    assert "different devices" not in html


def test_devices_stand_beside_the_rates_and_such_that_differ_are_said(finished_run: Path, tmp_path: Path) -> None:
    new = written()
    new["contestants"][0]["device"] = "cpu"
    assert remarks(new)[2:] == []
    new["contestants"].append(new["contestants"][0] | {"name": "Pellucid a", "program": "Pellucid", "device": "cuda:0"})
    told = (
        "programs ran on different devices, and such rows do not compare (--device cpu keeps Pellucid and transformers off the "
        "GPU): cpu: llama.cpp; cuda:0: Pellucid"
    )
    assert remarks(new)[2:] == [told]
    new["contestants"][2]["device"] = "gpu"
    assert remarks(new)[2:] == ["programs ran on different devices, and such rows do not compare: cpu: llama.cpp; gpu: Pellucid"]
    write_json(tmp_path / THROUGHPUT, new)
    html = page_of(throughput(Facts(tmp_path), open_recipe(finished_run)))
    assert stands(html, "gpu", "/contestants/2/device") == 2


def test_why_watts_are_missing_stands_beside_them(finished_run: Path, tmp_path: Path) -> None:
    new = written()
    new["energy"]["counters"] = ["cpu package-0"]
    short = "turns shorter than 0.5 s (cpu package-0)"
    new["contestants"][0]["batches"]["1"]["energy_missing"] = short
    new["contestants"][0]["batches"]["8"]["energy_missing"] = f"{short} (1 of 3 rounds)"
    assert remarks(new)[2:] == [
        f"not measured: watts of llama.cpp Q4_0 (batch 1): {short}",
        f"measured in part: watts of llama.cpp Q4_0 (batch 8): {short} (1 of 3 rounds)",
    ]
    write_json(tmp_path / THROUGHPUT, new)
    html = page_of(throughput(Facts(tmp_path), open_recipe(finished_run)))
    assert html.count(f'<td class="number">not measured: {short}</td>') == 1 and "35.5</a>" in html
    assert f"<p>Measured in part: watts of llama.cpp Q4_0 (batch 8): {short} (1 of 3 rounds).</p>" in html
    new["energy"]["counters"] = []
    assert len(remarks(new)) == 2


def test_there_is_no_section_where_nothing_was_measured_and_another_version_is_refused(finished_run: Path, tmp_path: Path) -> None:
    recipe = open_recipe(finished_run)
    assert throughput(Facts(tmp_path), recipe) is None
    write_json(tmp_path / THROUGHPUT, written(schema=7))
    with pytest.raises(ArtifactError, match="not of schema 1"):
        throughput(Facts(tmp_path), recipe)
