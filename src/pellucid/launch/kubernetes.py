"""A Kubernetes manifest: an indexed Job with one torchrun in each pod, a headless Service by which they meet, and a ConfigMap.

The ConfigMap carries the resolved recipe and the script, so that the image needs neither; what stands in a ConfigMap is also safe
from the `$(NAME)` that Kubernetes replaces in commands.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import yaml

from pellucid.launch.script import arguments_of, preamble, torchrun
from pellucid.recipe.launch import LaunchConfig
from pellucid.recipe.recipe import Recipe

__all__ = ["RECIPE_IN_POD", "RUNS_IN_POD", "SCRIPT", "job_name", "kubernetes_manifest"]

RUNS_IN_POD = "/runs"
_CONFIG_IN_POD = "/etc/pellucid"
SCRIPT = "train.sh"
RECIPE_IN_POD = f"{_CONFIG_IN_POD}/recipe.yaml"
# Each pod has an address of its own, so the port need not be.
_PORT = 29_500
# A pod's host name is the Job's name, a hyphen and the index of up to four digits, and has at most 63 characters.
_LONGEST_NAME = 58


def kubernetes_manifest(recipe: Recipe, launch: LaunchConfig) -> str:
    """Return the manifest, several YAML documents in one text, of a recipe as it is resolved: overrides are part of it."""
    name = job_name(recipe.name)
    labels = {"app.kubernetes.io/name": "pellucid", "app.kubernetes.io/instance": name}
    metadata = {"name": name, "labels": labels}
    values = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    documents = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            # Pods that are started later must train what the first ones do.
            "immutable": True,
            "data": {"recipe.yaml": values, SCRIPT: _script(launch, name)},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "clusterIP": "None",
                "selector": {"batch.kubernetes.io/job-name": name},
                # Pods look for each other before any of them could be called ready.
                "publishNotReadyAddresses": True,
                "ports": [{"name": "rendezvous", "port": _PORT}],
            },
        },
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": _job(launch, name, labels)},
    ]
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def job_name(name: str) -> str:
    """Return a DNS-1123 label for a recipe's name. Different names get different labels: what is lost is made up by a digest."""
    label = "pellucid-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if label == f"pellucid-{name}" and len(label) <= _LONGEST_NAME:
        return label
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{label[: _LONGEST_NAME - 9].rstrip('-')}-{digest}"


def _script(launch: LaunchConfig, name: str) -> str:
    rendezvous = [
        f"--nnodes={launch.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={name}-0.{name}:{_PORT}",
        f"--rdzv-id={name}",
        # torchrun would ask the name server whether it is the host itself, which at first knows no pod.
        '--rdzv-conf="is_host=$is_host"',
    ]
    host = ["is_host=false", "if [[ $JOB_COMPLETION_INDEX == 0 ]]; then is_host=true; fi", ""]
    arguments = arguments_of("train", RECIPE_IN_POD, RUNS_IN_POD, ())
    return "\n".join([*preamble(launch), *host, *torchrun(launch, rendezvous, arguments, "exec"), ""])


def _job(launch: LaunchConfig, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "train",
        "image": launch.kubernetes.image,
        "command": ["bash", f"{_CONFIG_IN_POD}/{SCRIPT}"],
        "volumeMounts": [
            {"name": "runs", "mountPath": RUNS_IN_POD},
            {"name": "config", "mountPath": _CONFIG_IN_POD, "readOnly": True},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }
    if launch.device == "gpu":
        container["resources"] = {"limits": {"nvidia.com/gpu": launch.devices_per_node}}
    pod: dict[str, Any] = {
        "subdomain": name,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": launch.grace_s,
        "containers": [container],
        "volumes": [
            {"name": "runs", "persistentVolumeClaim": {"claimName": launch.kubernetes.volume_claim}},
            {"name": "config", "configMap": {"name": name}},
            # NCCL moves data between the processes of a node through it, and a container's own has 64 MiB.
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    if launch.kubernetes.node_selector:
        pod["nodeSelector"] = dict(launch.kubernetes.node_selector)
    job: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": launch.nodes,
        "parallelism": launch.nodes,
        # A pod that fails takes the others with it, so one failure counts once for each node.
        "backoffLimit": launch.max_restarts * launch.nodes,
        # Evictions and lost nodes are replaced and not counted.
        "podFailurePolicy": {
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}],
        },
        "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
    }
    if launch.time_limit_h is not None:
        # At the deadline pods get SIGTERM; the grace comes after it.
        job["activeDeadlineSeconds"] = int(launch.time_limit_h * 3600) - launch.grace_s
    return job


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as it is, and repeats values rather than naming them.

    Text is quoted unless it is plainly a word: Kubernetes' parser reads 1e3 as a number and y as true, PyYAML's neither.
    """

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None if re.fullmatch(r"[A-Za-z/][A-Za-z0-9./-]+", text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
