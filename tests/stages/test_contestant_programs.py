import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from pellucid.stages.contestant_programs import Contestant, Machine, Program, open_program


def test_the_most_memory_counts_what_was_freed_again_and_nothing_of_a_parents() -> None:
    code = (
        "from pellucid.stages.contestant_programs import peak_memory_bytes as peak\n"
        "before = peak()\n"
        "bytearray(200_000_000)\n"
        "after = peak()\n"
        "bytearray(100_000_000)\n"
        "assert before < 200_000_000, before\n"
        "assert 195_000_000 < after - before < 210_000_000, (before, after)\n"
        "assert peak() - after < 10_000_000\n"
    )
    held = bytearray(300_000_000)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(held) == 300_000_000


def test_asking_for_a_program_loads_no_package_of_another() -> None:
    code = (
        "import sys\n"
        "import pellucid.stages.contestant_process\n"
        "heavy = {'torch', 'transformers', 'openvino', 'mlx', 'xllamacpp', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "place", "package"),
    [
        ("Pellucid", "hf", "torch"),
        ("transformers", "hf", "transformers"),
        ("llama.cpp", "gguf/model-F16.gguf", "xllamacpp"),
        ("llama.cpp, served", "gguf/model-F16.gguf", "xllamacpp"),
    ],
)
def test_every_sequence_gets_all_its_tokens_one_after_the_other(
    finished_run: Path, program: Program, place: str, package: str
) -> None:
    pytest.importorskip(package)
    contestant = Contestant("run", program, "", finished_run / "exports" / place)
    answer, opened = open_program(contestant, Machine(1, None, 2, 24))
    assert opened.version and opened.device == "cpu" and opened.load_s > 0 and opened.before_bytes > 1_000_000
    for prompts in ([[5, 6, 7, 8]], [[9, 8, 7, 6], [11, 12, 13, 14]]):
        at_s, reused = answer(prompts, 20)
        assert [len(times) for times in at_s] == [20] * len(prompts) and reused == 0
        assert all(times[0] > 0 and all(before <= after for before, after in pairwise(times)) for times in at_s)
