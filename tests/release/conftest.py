"""An account of the finished smoke run, as its publisher might want it, and the packages behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.recipe.recipe import Recipe
from pellucid.release.account import Account
from pellucid.release.packages import Closure, closure_of, extras_used
from pellucid.release.selection import select
from pellucid.release.sources import sources_of
from pellucid.stages.run_folder import open_recipe


@pytest.fixture(scope="session")
def account_of() -> Callable[..., Account]:
    """Return what makes an account: `account_of(run, without=…, checkpoints=…, licence=…, …)`."""

    def make(run: Path, *, without: tuple[str, ...] = (), checkpoints: str = "final", **release: Any) -> Account:
        recipe: Recipe = open_recipe(run)
        recipe = recipe.model_copy(update={"release": recipe.release.model_copy(update=release)})
        sources = sources_of(run, recipe)
        return Account(run, recipe, sources, select(run, recipe, sources, without=without, checkpoints=checkpoints))

    return make


@pytest.fixture(scope="session")
def account(account_of: Callable[..., Account], finished_run: Path) -> Account:
    """The account of the smoke run under Apache-2.0."""
    return account_of(finished_run, licence="Apache-2.0", author="Ada Lovelace", url="https://example.org/smoke")


@pytest.fixture(scope="session")
def closure(account: Account) -> Closure:
    """The packages of the smoke run."""
    return closure_of(account.package_versions, extras_used(account.recipe))
