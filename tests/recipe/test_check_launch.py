"""Launch sections that no scheduler would take."""

from collections.abc import Callable

import pytest

from pellucid.core.errors import Problem
from pellucid.recipe.load import LoadedRecipe

Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[Problem]]
KUBERNETES = "launch={kind: kubernetes, kubernetes: {image: a/b, volume_claim: c}}"


@pytest.mark.parametrize(
    ("overrides", "field", "message", "fix"),
    [
        (
            ["launch.nodes=2", "train.0.batch_tokens=16384"],
            "launch.nodes",
            "got 2; kind local is one machine",
            "set nodes: 1, or kind: slurm",
        ),
        (["launch.time_limit_h=2"], "launch.time_limit_h", "got 2; kind local has no time limit", "set time_limit_h: null"),
        (
            ["launch={kind: slurm, time_limit_h: 0.04}"],
            "launch.time_limit_h",
            "got 0.04 hours = 144 seconds; must be at least a minute more than grace_s = 120",
            "set time_limit_h to at least 0.05",
        ),
        (["launch.kind=k8s"], "launch.kind", "got 'k8s'; must be one of local, slurm, kubernetes", ""),
        (["launch.nodes=0"], "launch.nodes", "got 0; must be 1 or more", ""),
        (["launch.environment={A-B: x}"], "launch.environment.A-B", "a variable's name may hold only letters", ""),
        (['launch.environment={A: "x\\0"}'], "launch.environment.A", "holds the character NUL", "leave it out"),
        (['launch.setup=["x\\0"]'], "launch.setup[0]", "holds the character NUL", "leave it out"),
        (["launch.slurm.partition=a b"], "launch.slurm.partition", "got 'a b'; may hold only letters", ""),
        (['launch.slurm.account="a\\n#SBATCH"'], "launch.slurm.account", "got 'a\\n#SBATCH'; may hold only letters", ""),
        (["launch.slurm.options=[--qos high]"], "launch.slurm.options[0]", "got '--qos high'; must be one option", "write --name"),
        (["launch.slurm.options=[-q]"], "launch.slurm.options[0]", "got '-q'; must be one option", "write --name"),
        (['launch.slurm.options=["--x=a\\nb"]'], "launch.slurm.options[0]", "got '--x=a\\nb'; must be one option", "write --name"),
        (
            ["launch.slurm.options=[--qos=a, --time=5]"],
            "launch.slurm.options[1]",
            "got '--time=5'; there is a field for it",
            "set launch.time_limit_h",
        ),
        (
            ["launch.slurm.options=[--ntasks=5]"],
            "launch.slurm.options[0]",
            "got '--ntasks=5'; each node runs one task, which is torchrun",
            "set launch.devices_per_node",
        ),
        ([KUBERNETES, "launch.kubernetes.image=null"], "launch.kubernetes.image", "missing", "write image"),
        ([KUBERNETES, "launch.kubernetes.image=a b"], "launch.kubernetes.image", "got 'a b'; must be the name of an image", ""),
        ([KUBERNETES, "launch.kubernetes.volume_claim=null"], "launch.kubernetes.volume_claim", "missing", "write the claim's"),
        (
            [KUBERNETES, "launch.kubernetes.volume_claim=My_Runs"],
            "launch.kubernetes.volume_claim",
            "got 'My_Runs'; must be a name of Kubernetes",
            "",
        ),
    ],
)
def test_what_no_scheduler_would_take_is_told_with_its_fix(
    problems: Problems, overrides: list[str], field: str, message: str, fix: str
) -> None:
    found = problems(*overrides)
    assert [one.field for one in found] == [field], found
    assert found[0].message.startswith(message)
    assert found[0].fix.startswith(fix)


def test_all_problems_are_found_at_once_and_a_wrong_value_silences_its_own_rule_only(problems: Problems) -> None:
    found = problems("launch={kind: kubernetes, nodes: many, setup: 1, slurm: {partition: a b}, environment: {1A: x}}")
    assert [one.field for one in found] == [
        "launch.nodes",
        "launch.environment.1A",
        "launch.setup",
        "launch.slurm.partition",
        "launch.kubernetes.image",
        "launch.kubernetes.volume_claim",
    ]


@pytest.mark.parametrize("kind", ["local", "slurm"])
def test_a_recipe_may_hold_what_another_kind_needs(load: Load, kind: str) -> None:
    launch = load(KUBERNETES, "launch.slurm.partition=big", f"launch.kind={kind}").recipe.launch
    assert launch is not None
    assert launch.kind == kind
