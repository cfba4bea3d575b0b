from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.files import write_json
from pellucid.report.facts import Facts
from pellucid.report.throughput import THROUGHPUT, throughput
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


def test_figures_link_to_where_they_stand_and_what_was_not_measured_is_said(finished_run: Path, tmp_path: Path) -> None:
    write_json(tmp_path / THROUGHPUT, written())
    html = throughput(Facts(tmp_path), open_recipe(finished_run))
    assert 'data-pointer="/contestants/0/batches/1/decode_tokens_per_s/median" data-value="17.25">17.2</a>' in html
    assert 'data-pointer="/contestants/0/batches/8/watts/median" data-value="35.5">35.5</a>' in html
    assert html.count('<td class="number">not measured</td>') == 2
    assert "12.5</a>" in html and "3 MiB</a>" in html and "&lt;b&gt;7" in html
    assert "Not measured: MLX: no such export; watts by NVML: no driver." in html


def test_there_is_no_section_where_nothing_was_measured_and_another_version_is_refused(finished_run: Path, tmp_path: Path) -> None:
    recipe = open_recipe(finished_run)
    assert throughput(Facts(tmp_path), recipe) == ""
    write_json(tmp_path / THROUGHPUT, written(schema=7))
    with pytest.raises(ArtifactError, match="not of schema 1"):
        throughput(Facts(tmp_path), recipe)
