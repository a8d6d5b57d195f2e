"""What torchrun is given, for one machine and for several, and the scripts that clusters take."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from fine_tuner.base.errors import ConfigError
from fine_tuner.launch.cluster import kubernetes_manifest, slurm_script
from fine_tuner.launch.devices import device_keys, rank_devices
from fine_tuner.launch.torchrun import Nodes, node_arguments, torchrun_arguments
from fine_tuner.runs.layout import RunFolder

RUN = RunFolder(Path("/data/my runs/20261129-My_Run"))
NODES = Nodes(number=2, rendezvous="first:29400", wait_seconds=60, max_restarts=5)


def test_devices_are_counted_and_named_once_each():
    assert rank_devices("cpu:3") == ("cpu",) * 3
    assert rank_devices(" 0, 1 ") == ("0", "1")
    assert rank_devices("all", lambda: 3) == ("0", "1", "2")
    assert rank_devices("all", lambda: 0) == ("auto",)
    assert rank_devices("") == rank_devices("auto") == ("auto",)
    assert device_keys("cpu:2") == ("cpu",)
    assert device_keys("0,cuda:1") == ("cuda-0", "cuda-1")


def test_on_one_machine_torchrun_finds_a_free_port_itself():
    words = torchrun_arguments(RUN, num_processes=2, overrides=["devices=cpu:2"])
    assert words[:2] == ["--standalone", "--nproc-per-node=2"]
    assert words[-5:] == ["-m", "fine_tuner", "train", str(RUN.path), "devices=cpu:2"]


@pytest.mark.parametrize(("devices", "processes"), [("cpu:2", "2"), ("0,1,2", "3"), ("all", "gpu"), ("auto", "1")])
def test_on_several_machines_the_line_is_the_same_for_each(devices: str, processes: str):
    words = node_arguments(RUN, NODES, devices=devices)
    assert {
        "--nnodes=2",
        f"--nproc-per-node={processes}",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=first:29400",
        f"--rdzv-id={RUN.id}",
        "--rdzv-conf=join_timeout=60",
        "--max-restarts=5",
    } < set(words)
    assert words[-4:] == ["-m", "fine_tuner", "train", str(RUN.path)]


@pytest.mark.parametrize("where", ["first", "first:", ":29400", "first:port", "first:99999", ""])
def test_a_place_to_meet_is_a_host_and_a_port(where: str):
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        Nodes(number=2, rendezvous=where)


def test_the_name_of_a_folder_adds_no_command_to_the_slurm_script(tmp_path: Path):
    brought = RunFolder(tmp_path / "a\nATTACK\n")
    words = shlex.split(slurm_script(brought, NODES, devices="0,1"), comments=True)
    assert "ATTACK" not in words
    assert str(brought.path) in words


def test_the_slurm_script_starts_the_line_on_every_node_and_meets_on_the_first(tmp_path: Path):
    """Run with stand-ins for the commands of Slurm, which are not to be had everywhere."""
    script = tmp_path / "job.sh"
    script.write_text(slurm_script(RUN, NODES, devices="0,1"))
    for name, body in {"scontrol": "printf 'node-a\\nnode-b\\n'", "srun": 'printf "%s\\n" "$@" > "$SAID"'}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    said = tmp_path / "said"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_NODELIST": "node-[a-b]", "SAID": str(said)}
    subprocess.run(["bash", str(script)], env=environment, check=True, timeout=30)
    expected = [
        "--rdzv-endpoint=node-a:29400" if "endpoint" in w else w for w in node_arguments(RUN, NODES, devices="0,1")
    ]
    assert said.read_text().splitlines() == ["python", "-m", "torch.distributed.run", *expected]
    asked = [line.split()[1] for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=2"} < set(asked)


def test_the_manifest_is_a_pytorchjob_with_a_worker_for_each_node():
    manifest = yaml.safe_load(kubernetes_manifest(RUN, NODES, devices="0,1", image="me/tuner:1", claim="disk"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert manifest["metadata"]["name"] == "run-20261129-my-run"
    spec = manifest["spec"]
    assert spec["nprocPerNode"] == "2"
    assert spec["elasticPolicy"] == {"rdzvBackend": "c10d", "minReplicas": 2, "maxReplicas": 2, "maxRestarts": 5}
    worker = spec["pytorchReplicaSpecs"]["Worker"]
    assert worker["replicas"] == 2
    (container,) = worker["template"]["spec"]["containers"]
    assert container["name"] == "pytorch"  # the operator looks for it
    assert shlex.join(container["command"]).endswith(f"-m fine_tuner train '{RUN.path}'")
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 2}
    assert container["volumeMounts"] == [{"name": "runs", "mountPath": str(RUN.path.parent)}]
