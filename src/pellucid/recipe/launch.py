"""Sections for training on several devices or machines: what the job file of `pellucid launch` is made from."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["KubernetesConfig", "LaunchConfig", "SlurmConfig"]


class SlurmConfig(Section):
    """What only Slurm is told."""

    partition: str | None = Field(None, description="Partition; the cluster's default when not given.")
    account: str | None = Field(None, description="Account that the time is charged to.")
    options: tuple[str, ...] = Field((), description="Further options of sbatch, one each, as in --qos=high.")


class KubernetesConfig(Section):
    """What only Kubernetes is told."""

    image: str | None = Field(None, description="Container image that has Pellucid and torch installed.")
    volume_claim: str | None = Field(None, description="PersistentVolumeClaim that is the runs folder, mounted in every pod.")
    node_selector: dict[str, str] = Field({}, description="Labels that a node must have to be given a pod.")


class LaunchConfig(Section):
    """How training is started on several devices: one torchrun for each node, one process for each device."""

    kind: Literal["local", "slurm", "kubernetes"] = Field("local", description="What the job file is written for.")
    nodes: int = Field(1, ge=1, le=10_000, description="Machines that train together.")
    devices_per_node: int = Field(1, ge=1, le=1_000, description="Processes on each machine, one for each of its devices.")
    device: Literal["gpu", "cpu"] = Field(
        "gpu", description="gpu: each process gets a GPU; cpu: GPUs are neither asked for nor used."
    )
    time_limit_h: float | None = Field(
        None, gt=0, le=8760, description="Hours until the job is ended; the cluster's limit if not given."
    )
    grace_s: int = Field(
        120, ge=30, le=7200, description="Seconds before the time limit, or after an eviction, in which training saves and leaves."
    )
    max_restarts: int = Field(
        3, ge=0, le=1000, description="Times that torchrun starts failed processes again from the last checkpoint."
    )
    environment: dict[str, str] = Field({}, description="Environment variables of the job.")
    setup: tuple[str, ...] = Field((), description="Lines of bash before torchrun is started, such as 'module load cuda'.")
    slurm: SlurmConfig = Field(SlurmConfig(), description="What only Slurm is told.")
    kubernetes: KubernetesConfig = Field(KubernetesConfig(), description="What only Kubernetes is told.")

    @property
    def ranks(self) -> int:
        """Processes that train together, over all nodes."""
        return self.nodes * self.devices_per_node
