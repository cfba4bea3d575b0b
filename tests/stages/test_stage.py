from pathlib import Path

import pytest

from pellucid.core.artifacts import Build, Key
from pellucid.core.errors import ArtifactError, StoppedError
from pellucid.core.ledger import read_ledger
from pellucid.recipe.load import load_recipe
from pellucid.stages.stage import Context, Stage, run_stage

RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"


def context(run: Path) -> Context:
    return Context(load_recipe(RECIPE), run)


def stage(build: object = None) -> Stage:
    def write(_: Context, part: Build) -> str:
        (part.path / "file").write_text("x")
        return "one file"

    return Stage("plan", "plan", lambda _: Key("plan", 1, 0, {}), build or write)  # type: ignore[arg-type]


def events(run: Path) -> list[str]:
    return [event["event"] for event in read_ledger(run / "ledger.jsonl")]


def test_a_current_stage_is_not_run_again(tmp_path: Path) -> None:
    assert run_stage(stage(), context(tmp_path)) is True
    assert run_stage(stage(), context(tmp_path)) is False
    assert events(tmp_path) == ["start", "end", "unchanged"]


@pytest.mark.parametrize(
    ("error", "event"), [(ValueError("broken"), "failure"), (KeyboardInterrupt(), "stop"), (StoppedError(15, "stopped"), "stop")]
)
def test_the_ledger_tells_a_failure_from_a_stop(tmp_path: Path, error: BaseException, event: str) -> None:
    def build(_: Context, part: Build) -> str:
        raise error

    with pytest.raises(type(error)):
        run_stage(stage(build), context(tmp_path))
    assert events(tmp_path) == ["start", event]
    assert not (tmp_path / "plan").exists()


def test_an_artifact_that_is_not_there_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"pellucid documents .*pocket-smoke\.yaml"):
        context(tmp_path).folder("documents")
