"""What a stage is, and how any of them is run: skipped when current, continued when cut off, recorded in the ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pellucid.core.artifacts import MANIFEST, Build, Key, building, is_current, is_interrupted
from pellucid.core.errors import ArtifactError
from pellucid.core.files import sha256_file
from pellucid.core.ledger import Ledger
from pellucid.core.progress import console
from pellucid.core.units import format_duration
from pellucid.recipe.load import LoadedRecipe
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.attempt import Processes, attempt
from pellucid.train.stage import Probe
from pellucid.train.world import World

__all__ = ["Context", "Stage", "run_stage"]


@dataclass(frozen=True)
class Context:
    """One run: its recipe, its folder, and the processes that work on it. `probe` makes one more of a training stage's folder."""

    loaded: LoadedRecipe
    run: Path
    world: World = field(default_factory=World)
    probe: Callable[[TrainStageConfig, Path], Probe | None] | None = None

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return self.loaded.recipe

    def folder(self, name: str) -> Path:
        """The folder of a stage's artifact; raise `ArtifactError` when the stage has not finished."""
        path = self.run / name
        if not (path / "manifest.json").is_file():
            raise ArtifactError(
                f"{path} is not there or not finished; it is made by: pellucid {name.split('/')[0]} {self.loaded.path}"
            )
        return path


@dataclass(frozen=True)
class Stage:
    """A step of the flow. `key` says what its artifact is a function of; `build` writes it and returns one line for people.

    `skipped` tells from the folder which training steps were not applied. `check` raises what would keep it from being built
    here, before anything of an earlier build is touched; `check_current` raises what of the recipe a current artifact cannot
    serve, though its key does not hold it.
    """

    name: str
    folder: str
    key: Callable[[Context], Key]
    build: Callable[[Context, Build], str]
    in_place: bool = False
    skipped: Callable[[Path], Sequence[int]] | None = None
    check: Callable[[Context], object] | None = None
    check_current: Callable[[Context], object] | None = None


def run_stage(stage: Stage, context: Context) -> bool:
    """Run one stage unless its artifact is current; return whether there was anything to do.

    The first rank decides and keeps the books; the others build with it.
    """
    path = context.run / stage.folder
    if not context.world.is_first:
        wanted: bool = context.world.tell(None)
        if wanted:
            stage.build(context, Build(path))
        return wanted
    key = stage.key(context)
    if is_current(path, key):
        if stage.check_current is not None:
            stage.check_current(context)
        context.world.tell(False)
        manifest = sha256_file(path / MANIFEST)
        Ledger(context.run).append("unchanged", stage=stage.name, folder=stage.folder, manifest=manifest)
        console.print(f"[dim]{stage.name:<14}unchanged[/dim]", soft_wrap=True)
        return False
    if stage.check is not None:
        stage.check(context)
    world = context.world
    with attempt(
        context.run,
        stage.name,
        plan=context.recipe.plan,
        processes=Processes(world.size, world.local_size),
        holds_run=True,
        inputs=dict(key.inputs),
        recipe=context.loaded.digest,
        continues=is_interrupted(path, key, in_place=stage.in_place),
    ) as work:
        if stage.skipped is not None:
            work.skipped = partial(stage.skipped, path)
        with building(path, key, in_place=stage.in_place, energy=work.energy) as build:
            world.tell(True)
            remark = stage.build(context, build)
        work.made(path, build.summary)
    console.print(f"{stage.name:<14}{format_duration(work.seconds()):>12}   {remark}", soft_wrap=True)
    return True
