"""What every job has in common."""

import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.launch.script import arguments_of, preamble, quoted, torchrun
from pellucid.recipe.launch import LaunchConfig


def test_the_arguments_give_every_override_again_in_order() -> None:
    assert arguments_of("train", "r.yaml", "runs", ["seed=1", "name=x"]) == (
        *("train", "r.yaml", "--runs", "runs"),
        *("--set", "seed=1", "--set", "name=x"),
    )


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=5))
def test_what_is_quoted_is_read_back_as_the_same_words(words: list[str]) -> None:
    assert shlex.split(quoted(words)) == words


def test_a_job_ends_at_the_first_failure_in_its_set_up(standins: Any) -> None:
    launch = LaunchConfig(setup=("false", "touch ran"))
    done = standins.run("\n".join([*preamble(launch), *torchrun(launch, [], ["train"], "exec")]))
    assert done.returncode != 0
    assert standins.calls("torchrun") == []


@pytest.mark.parametrize(("device", "hidden"), [("cpu", ""), ("gpu", None)])
def test_gpus_are_hidden_from_a_job_on_cpus_only(standins: Any, device: str, hidden: str | None) -> None:
    launch = LaunchConfig.model_validate({"device": device, "grace_s": 90})
    standins.run("\n".join([*preamble(launch), *torchrun(launch, [], ["train"], "exec")]))
    environment = standins.calls("torchrun")[0]["environment"]
    assert environment.get("CUDA_VISIBLE_DEVICES") == hidden
    assert environment["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "80"


def test_set_up_may_read_unset_variables_and_what_follows_may_not(standins: Any) -> None:
    launch = LaunchConfig(setup=("echo $NOT_SET_ANYWHERE",))
    assert standins.run("\n".join(preamble(launch))).returncode == 0
    assert standins.run("\n".join([*preamble(launch), "echo $NOT_SET_ANYWHERE"])).returncode != 0


def test_the_users_environment_goes_before_ours() -> None:
    launch = LaunchConfig(environment={"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "5"})
    script = "\n".join([*preamble(launch), "echo $TORCH_ELASTIC_SHUTDOWN_TIMEOUT"])
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout == "5\n"
