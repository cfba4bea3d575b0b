"""The job file on disk."""

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pellucid.core.errors import RecipeError, UsageError
from pellucid.launch.write import JobFile, write_job
from pellucid.recipe.load import load_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"
KUBERNETES = "launch={kind: kubernetes, kubernetes: {image: a/b, volume_claim: c}}"
Write = Callable[..., JobFile]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the job of a recipe in a folder whose name needs quoting."""
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    recipe = folder / "my recipe.yaml"
    recipe.write_text(f"extends: {RECIPE}\nname: mine\n")

    def make(*overrides: str, runs: Path = folder / "the runs") -> JobFile:
        return write_job(load_recipe(recipe, overrides), overrides, runs)

    return make


@pytest.mark.parametrize(
    ("override", "name", "submit"),
    [
        ("launch.kind=local", "job.sh", "bash"),
        ("launch.kind=slurm", "job.sbatch", "sbatch"),
        (KUBERNETES, "job.yaml", "kubectl apply -f"),
    ],
)
def test_each_kind_has_its_file_and_the_line_that_submits_it(write: Write, override: str, name: str, submit: str) -> None:
    job = write(override)
    assert job.path.is_file()
    assert job.path.parts[-4:] == ("the runs", "mine", "launch", name)
    assert shlex.split(job.submit) == [*submit.split(), str(job.path)]


def test_the_line_as_printed_trains_what_was_asked(write: Write, standins: Any) -> None:
    overrides = ("launch.kind=local", 'description=it\'s "$HOME"', "seed=7")
    job = write(*overrides)
    subprocess.run(["bash", "-c", job.submit], env=standins.environment(), check=True, cwd="/")
    words = standins.calls("torchrun")[0]["words"]
    at = words.index("pellucid")
    recipe, runs = words[at + 2], words[at + 4]
    assert words[at + 1 :: 2][:2] == ["train", "--runs"]
    assert load_recipe(Path(recipe), words[at + 6 :: 2]).digest == load_recipe(Path(recipe), overrides).digest
    assert Path(runs) == job.path.parents[2]


def test_relative_paths_are_written_in_full(write: Write, standins: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    job = write("launch.kind=local", runs=Path("runs"))
    assert str(job.path) == "runs/mine/launch/job.sh"
    assert str(tmp_path / "runs") in job.path.read_text()


def test_a_manifest_has_the_overrides_in_its_recipe(write: Write) -> None:
    documents = yaml.safe_load_all(write(KUBERNETES, "seed=7").path.read_text())
    assert yaml.safe_load(next(documents)["data"]["recipe.yaml"])["seed"] == 7


def test_a_recipe_without_a_launch_section_is_told_what_to_write(write: Write) -> None:
    with pytest.raises(RecipeError) as caught:
        write()
    assert [problem.field for problem in caught.value.problems] == ["launch"]
    assert "--set launch.kind=local" in caught.value.problems[0].fix


def test_nothing_is_left_where_a_job_cannot_be_written(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write("launch.kind=slurm", runs=tmp_path / "back\\slash")
    assert not (tmp_path / "back\\slash").exists()
