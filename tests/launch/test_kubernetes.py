"""The Kubernetes manifest: against the schemas of Kubernetes itself, and its script run by a real shell."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pellucid.launch.kubernetes import RECIPE_IN_POD, RUNS_IN_POD, SCRIPT, job_name, kubernetes_manifest
from pellucid.recipe.launch import KubernetesConfig, LaunchConfig
from pellucid.recipe.load import load_recipe
from pellucid.recipe.recipe import Recipe

ROOT = Path(__file__).parents[2]
KUBERNETES = KubernetesConfig(image="example.org/pellucid:0.1.0", volume_claim="runs")
Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(ROOT / "recipes" / "pocket-smoke.yaml", ["description='on: {off} \"1e3\" ü'"]).recipe


@pytest.fixture
def make(recipe: Recipe) -> Make:
    """Return a function that makes the manifest's documents by kind, the launch section's fields given."""

    def documents(**fields: Any) -> dict[str, Any]:
        launch = LaunchConfig.model_validate({"kind": "kubernetes", "kubernetes": KUBERNETES, **fields})
        return {one["kind"]: one for one in yaml.safe_load_all(kubernetes_manifest(recipe, launch))}

    return documents


FULL: dict[str, Any] = {
    "nodes": 4,
    "devices_per_node": 8,
    "time_limit_h": 24,
    "grace_s": 300,
    "max_restarts": 2,
    "environment": {"NCCL_DEBUG": "INFO"},
    "kubernetes": KUBERNETES.model_copy(update={"node_selector": {"gpu": "h100", "generation": "1e3", "spot": "no"}}),
}


@pytest.mark.parametrize("version", ["1.29.0", "1.33.0"])
@pytest.mark.parametrize("fields", [{}, {"device": "cpu"}, FULL], ids=["least", "cpu", "full"])
def test_every_document_holds_under_the_schemas_of_kubernetes(make: Make, fields: dict[str, Any], version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    documents = make(**fields)
    assert documents.keys() == {"ConfigMap", "Service", "Job"}
    for document in documents.values():
        kubernetes_validate.validate(document, version, strict=True)


def test_the_job_has_a_pod_with_all_gpus_for_each_node(make: Make) -> None:
    job = make(**FULL)["Job"]["spec"]
    pod = job["template"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"], job["backoffLimit"]) == ("Indexed", 4, 4, 8)
    assert pod["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    assert pod["nodeSelector"] == {"gpu": "h100", "generation": "1e3", "spot": "no"}
    assert "resources" not in make(device="cpu")["Job"]["spec"]["template"]["spec"]["containers"][0]


def test_pods_get_the_grace_within_the_time_limit(make: Make) -> None:
    job = make(**FULL)["Job"]["spec"]
    grace = job["template"]["spec"]["terminationGracePeriodSeconds"]
    assert (grace, job["activeDeadlineSeconds"] + grace) == (300, 24 * 3600)
    assert "activeDeadlineSeconds" not in make()["Job"]["spec"]


def test_the_documents_name_each_other_rightly(make: Make) -> None:
    documents = make(**FULL)
    name = documents["Job"]["metadata"]["name"]
    assert {document["metadata"]["name"] for document in documents.values()} == {name}
    assert documents["Service"]["spec"]["clusterIP"] == "None"
    assert documents["Service"]["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    pod = documents["Job"]["spec"]["template"]["spec"]
    assert pod["subdomain"] == name
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert mounted.keys() == volumes.keys()
    assert (volumes["config"]["configMap"]["name"], volumes["runs"]["persistentVolumeClaim"]["claimName"]) == (name, "runs")
    assert mounted["runs"] == RUNS_IN_POD
    files = {f"{mounted['config']}/{file}" for file in documents["ConfigMap"]["data"]}
    assert {pod["containers"][0]["command"][1], RECIPE_IN_POD} == files


@pytest.mark.parametrize("index", [0, 1])
def test_the_pods_script_gives_torchrun_every_word_and_makes_pod_0_the_host(
    make: Make, standins: Any, hostile: LaunchConfig, index: int
) -> None:
    fields = hostile.model_dump(include={"nodes", "devices_per_node", "max_restarts", "environment", "setup"})
    documents = make(**fields)
    name, port = documents["Job"]["metadata"]["name"], documents["Service"]["spec"]["ports"][0]["port"]
    done = standins.run(documents["ConfigMap"]["data"][SCRIPT], JOB_COMPLETION_INDEX=str(index))
    assert done.returncode == 0, done.stderr
    call = standins.calls("torchrun")[0]
    assert call["words"] == [
        *("--nnodes=3", "--rdzv-backend=c10d", f"--rdzv-endpoint={name}-0.{name}:{port}", f"--rdzv-id={name}"),
        f"--rdzv-conf=is_host={'true' if index == 0 else 'false'}",
        *("--nproc-per-node=4", "--max-restarts=5", "-m", "pellucid", "train", RECIPE_IN_POD, "--runs", RUNS_IN_POD),
    ]
    assert {key: call["environment"][key] for key in hostile.environment} == hostile.environment
    assert not list(standins.folder.rglob("ran"))


def test_the_recipe_in_the_manifest_is_the_one_that_was_asked_for(make: Make, recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "other-name.yaml"
    path.write_text(make()["ConfigMap"]["data"]["recipe.yaml"])
    assert load_recipe(path).recipe == recipe


@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"))
def test_a_jobs_name_and_its_pods_are_dns_labels(name: str) -> None:
    label = job_name(name)
    # Kubernetes' own pattern; a Service's name must begin with a letter as well.
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", label)
    assert len(f"{label}-9999") <= 63


def test_different_recipes_have_different_jobs() -> None:
    names = ["a-b", "a.b", "a_b", "A-b", "a-b-", "a--b", "x" * 80, "x" * 81]
    assert len({job_name(name) for name in names}) == len(names)
    assert job_name("tiny") == "pellucid-tiny"


def test_text_that_other_parsers_take_for_something_else_is_quoted(recipe: Recipe) -> None:
    selector = dict.fromkeys(["1e3", "y", "no", "0x1F", ".5", "~", "+1", "12:30", "=", "h100"], "1e3")
    kubernetes = KUBERNETES.model_copy(update={"node_selector": selector})
    text = kubernetes_manifest(recipe, LaunchConfig(kind="kubernetes", kubernetes=kubernetes))
    lines = text[text.index("nodeSelector:") :].splitlines()[1 : 1 + len(selector)]
    keys = [line.strip().split(": ")[0] for line in lines]
    assert [key for key in keys if key[0] not in "\"'"] == ["h100"]
    assert all(line.endswith('"1e3"') for line in lines)
