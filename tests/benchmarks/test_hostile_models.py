"""Hostile model files through everything that opens models: nothing of theirs runs, nothing is written elsewhere, and it ends."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from hostile.bases import CASES, Case, Place  # noqa: E402
from hostile.run_cases import Opening, openings  # noqa: E402

QUICK = (
    "pickle called model.safetensors, in a zip", "safetensors: a header of 2^63 bytes", "safetensors: offsets past the end",
    "index: a shard at ../../outside", "config.json: 10^12 layers", "tokenizer.json: a token with id 2^40",
    "GGUF: 2^60 tensors", "GGUF: a shape whose product overflows", "GGUF: 2^31 layers",
    "template beside the weights: globals of a helper", "template in a GGUF file: loops in loops",
    "run: a recipe with a Python object", "run: a manifest with an endless device", "run: a vocabulary with files outside",
    "peft: adapter_model.bin, a pickle",
)  # fmt: skip


@pytest.fixture(scope="module")
def opening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opening]:
    pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    pytest.importorskip("lm_eval")
    with Opening(tmp_path_factory.mktemp("bases")) as opening:
        yield opening


def check(opening: Opening, case: Case, root: Path) -> None:
    rows = list(openings(opening, case, root))
    if any(row["ended"] == "not here" for row in rows):
        pytest.skip(rows[0]["said"])
    faults = [f"{row['opener']}, {'hostile' if row['hostile'] else 'twin'}: {fault}" for row in rows for fault in row["faults"]]
    assert not faults, "\n".join(faults)
    assert len(rows) == 2 * len(case.openers)


@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_file_is_refused_and_its_harmless_twin_opens(opening: Opening, name: str, tmp_path: Path) -> None:
    check(opening, CASES[name], tmp_path / "case")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(QUICK)))
def test_every_other_kind_is_refused_or_without_effect_and_its_twin_opens(opening: Opening, name: str, tmp_path: Path) -> None:
    check(opening, CASES[name], tmp_path / "case")


def test_there_are_well_over_thirty_kinds() -> None:
    assert len(CASES) >= 100 and set(QUICK) <= set(CASES)


LOADERS = {
    "pickle called model.safetensors, in a zip": "import io, torch; torch.load(io.BytesIO(open({model!r} + '/model.safetensors', 'rb').read()), weights_only=False)",  # noqa: E501
    "peft: adapter_model.bin, a pickle": "import torch; torch.load({model!r} + '/adapter_model.bin', weights_only=False)",
    "run: a recipe with a Python object": "import yaml; yaml.unsafe_load(open({model!r} + '/recipe.resolved.yaml'))",
    "config.json: auto_map to code beside it": "import runpy; runpy.run_path({model!r} + '/modeling_evil.py')",
    "MLX: model_file, code that mlx-lm can be told to run": "import runpy; runpy.run_path({model!r} + '/evil.py')",
    "template beside the weights: globals of a helper":
        "import jinja2; jinja2.Template(open({model!r} + '/chat_template.jinja').read()).render()",
}  # fmt: skip


@pytest.mark.parametrize("name", LOADERS)
def test_a_payload_runs_where_its_file_is_opened_without_care(opening: Opening, name: str, tmp_path: Path) -> None:
    case = CASES[name]
    place: Place = opening.bases.copy(case.base, tmp_path / "trap")
    case.plant(place, True)
    assert not place.canary.exists()
    subprocess.run([sys.executable, "-c", LOADERS[name].format(model=str(place.model))], capture_output=True, check=False)
    assert place.canary.exists()


def test_the_watch_sees_what_a_payload_does(opening: Opening, tmp_path: Path) -> None:
    """The hook itself: a job whose opener writes outside, unpickles and starts a program is told on."""
    code = (
        "import json, sys, os, pickle, subprocess\n"
        "from pathlib import Path\n"
        "from hostile.watch import Watch\n"
        "root = Path(sys.argv[1]); scratch = root / 'scratch'; scratch.mkdir()\n"
        "watch = Watch(root / 'model', scratch)\n"
        "sys.addaudithook(watch)\n"
        "open(scratch / 'mine', 'w').close()\n"
        "assert not watch.events, watch.events\n"
        "open(root / 'theirs', 'w').close()\n"
        f"pickle.loads({pickle.dumps(pickle.loads)!r})\n"
        "subprocess.run([sys.executable, '-c', ''])\n"
        "print(json.dumps(watch.events))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env={"PYTHONPATH": str(BENCHMARKS)}, check=True
    )
    events = [line.split(":")[0] for line in json.loads(done.stdout)]
    assert events[0] == "open" and "pickle.find_class" in events and "subprocess.Popen" in events
