"""A run for a cluster: an sbatch script for Slurm, a PyTorchJob for Kubernetes; both start the line of torchrun."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from fine_tuner.base.text import one_line
from fine_tuner.launch.devices import rank_devices
from fine_tuner.launch.torchrun import NODES_ENVIRONMENT, TORCHRUN, Nodes, node_arguments, processes_per_node
from fine_tuner.runs.layout import RunFolder

_GRACE_SECONDS = 120  # before the end of its time a job is asked to stop, and keeps a checkpoint


def slurm_script(run: RunFolder, nodes: Nodes, *, devices: str) -> str:
    """Text for ``sbatch``; the first node of the job is where all meet, whatever ``nodes`` names.

    Args:
        run: Its folder, on storage that the nodes share.
        nodes: How many, and how they wait and restart; of its rendezvous the port counts.
        devices: Of each of them, as in the settings.
    """
    words = node_arguments(run, nodes, devices=devices)
    port = nodes.rendezvous.rpartition(":")[2]
    endpoint = f"--rdzv-endpoint={nodes.rendezvous}"
    line = " ".join(f'"--rdzv-endpoint=$first:{port}"' if w == endpoint else shlex.quote(w) for w in words)
    asked = [
        f"--job-name={run.id}",
        f"--nodes={nodes.number}",
        "--ntasks-per-node=1",
        *_slurm_devices(devices),
        f"--output={run.path}/logs/slurm-%j.log",
        f"--signal=TERM@{_GRACE_SECONDS}",
    ]
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {one_line(option)}" for option in asked),
            "# Add what your cluster asks for: --partition, --account, --time.",
            "set -euo pipefail",
            *(f"export {name}={value}" for name, value in NODES_ENVIRONMENT.items()),
            'first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)',  # head would end the pipe
            f"srun python {' '.join(TORCHRUN)} {line}",
            "",
        ]
    )


def _slurm_devices(devices: str) -> list[str]:
    words = rank_devices(devices)
    if words[0] == "cpu":
        return [f"--cpus-per-task={len(words)}"]
    if devices.strip() == "all":
        return ["--exclusive", "--gpus-per-node=1  # how many a node has"]
    return [f"--gpus-per-node={len(words)}"]


def kubernetes_manifest(run: RunFolder, nodes: Nodes, *, devices: str, image: str, claim: str) -> str:
    """A PyTorchJob of the Kubeflow training operator, as YAML; the operator says where the nodes meet.

    Args:
        run: Its folder; the folder of runs that it lies in is mounted at the same path.
        nodes: How many, and how they restart.
        devices: Of each of them, as in the settings.
        image: Container image with Fine Tuner in it.
        claim: Of the volume that holds the runs, and the data.
    """
    processes, mount = processes_per_node(devices), str(run.path.parent)
    is_cpu = rank_devices(devices)[0] == "cpu"
    number = len(rank_devices(devices))
    limits: Mapping[str, Any] = {"cpu": number} if is_cpu else {"nvidia.com/gpu": number}
    container = {
        "name": "pytorch",
        "image": image,
        "command": ["python", *TORCHRUN, "-m", "fine_tuner", "train", str(run.path)],
        "env": [{"name": name, "value": value} for name, value in NODES_ENVIRONMENT.items()],
        "resources": {"limits": limits},
        "volumeMounts": [{"name": "runs", "mountPath": mount}],
    }
    volumes = [{"name": "runs", "persistentVolumeClaim": {"claimName": claim}}]
    manifest = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": _kubernetes_name(run.id)},
        "spec": {
            "nprocPerNode": processes,
            "elasticPolicy": {
                "rdzvBackend": "c10d",
                "minReplicas": nodes.number,
                "maxReplicas": nodes.number,
                "maxRestarts": nodes.max_restarts,
            },
            "pytorchReplicaSpecs": {
                "Worker": {
                    "replicas": nodes.number,
                    "restartPolicy": "OnFailure",
                    "template": {"spec": {"containers": [container], "volumes": volumes}},
                }
            },
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)


def _kubernetes_name(name: str) -> str:
    """A name as DNS has them.

    >>> _kubernetes_name("20261123-141502-My_Run")
    'run-20261123-141502-my-run'
    """
    return f"run-{re.sub('[^a-z0-9]+', '-', name.casefold()).strip('-')}"[:63].rstrip("-")
