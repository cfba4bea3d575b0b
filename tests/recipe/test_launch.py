"""The launch section."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from pellucid.core.errors import Problem
from pellucid.recipe.explain import explain
from pellucid.recipe.launch import LaunchConfig
from pellucid.recipe.load import LoadedRecipe

Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[Problem]]
FULL = (
    "launch={kind: slurm, nodes: 2, devices_per_node: 4, device: cpu, time_limit_h: 24, grace_s: 300, max_restarts: 1, "
    "environment: {NCCL_DEBUG: INFO}, setup: [module load cuda], slurm: {partition: big, account: lab, options: [--qos=high]}, "
    "kubernetes: {image: a/b, volume_claim: runs, node_selector: {gpu: h100}}}"
)


def test_a_recipe_has_no_launch_section_of_itself(load: Load) -> None:
    assert load().recipe.launch is None


def test_ranks_are_devices_over_all_nodes() -> None:
    assert LaunchConfig(nodes=3, devices_per_node=8).ranks == 24


def test_a_section_stays_small() -> None:
    assert len(LaunchConfig.model_fields) <= 12


@pytest.mark.parametrize("fields", [{"nodes": 0}, {"kind": "pbs"}, {"time_limit_h": 0}, {"grace_s": 5}, {"max_restarts": -1}])
def test_a_value_out_of_its_limits_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LaunchConfig.model_validate(fields)


def test_every_value_is_explained_with_where_it_comes_from(load: Load) -> None:
    rows = {row.field: row for row in explain(load(FULL, "train.0.batch_tokens=65536", "launch.environment.EXTRA=x"))}
    assert rows["launch.nodes"].origin == "override"
    assert rows["launch.environment"].value == {"NCCL_DEBUG": "INFO", "EXTRA": "x"}
    assert rows["launch.slurm.options"].value == ["--qos=high"]
    assert (rows["plan.devices"].value, rows["plan.devices"].origin) == (8, "derived")
    assert [field for field, row in rows.items() if not row.description] == []


def test_a_variable_that_is_no_text_is_told_to_be_quoted(problems: Problems) -> None:
    (found,) = problems("launch.environment.NCCL_DEBUG=1")
    assert (found.field, found.message) == ("launch.environment.NCCL_DEBUG", "got 1; must be text")
    assert found.fix.startswith('put it in quotes: "1"')
