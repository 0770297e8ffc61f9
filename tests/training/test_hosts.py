"""Two hosts: network namespaces with a wire between them, torchrun's rendezvous, and one host that dies."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

REPOSITORY = Path(__file__).parents[2]
ADDRESSES = ("10.77.0.1", "10.77.0.2")
RUN = Path("runs/digits/version_0")

pytestmark = pytest.mark.slow


def ip(*args: str, check: bool = True) -> str:
    return subprocess.run(["ip", *args], check=check, capture_output=True, text=True).stdout


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two namespaces, each with one end of a veth pair."""
    names = tuple(f"mnist-{os.getpid()}-{index}" for index in range(2))
    with contextlib.ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "del", name, check=False)
            ends = [f"v{os.getpid()}{letter}" for letter in "ab"]
            ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
            for name, end, address in zip(names, ends, ADDRESSES, strict=True):
                ip("-n", name, "link", "set", end, "name", "wire")
                ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
                ip("-n", name, "link", "set", "wire", "up")
                ip("-n", name, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces are not allowed here: {error}")
        yield names[0], names[1]


def start(hosts: tuple[str, str], *args: str) -> list[Any]:
    """Start `fit` on both hosts, one process each."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "wire",
    }
    agents = []
    for host, address in zip(hosts, ADDRESSES, strict=True):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        torchrun += ["--rdzv-backend=c10d", f"--rdzv-endpoint={ADDRESSES[0]}:29400", f"--local-addr={address}"]
        # by name, torchrun would take either namespace for the same host
        torchrun += [f"--rdzv-conf=is_host={address == ADDRESSES[0]},join_timeout=60,read_timeout=5"]
        configs = [f"--config={REPOSITORY}/configs/{name}.yaml" for name in ("cpu", "ddp")]
        fit = ["-m", "mnist_lstm", "fit", *configs, "--data.dataset=digits", "--model.hidden_size=16"]
        command = ["ip", "netns", "exec", host, *torchrun, *fit, "--checkpoint_every_n_steps=5", *args]
        with Path(f"{address}.log").open("w") as output:
            agents.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
    return agents


def wait_for_checkpoint(agents: list[Any]) -> None:
    while not (RUN / "checkpoints/last.ckpt").is_file():
        assert all(agent.poll() is None for agent in agents), Path(f"{ADDRESSES[0]}.log").read_text()
        time.sleep(0.2)


@pytest.mark.parametrize("how", ["killed", "cut off", "a process killed"])
def test_one_host_dies_and_the_run_is_resumed(hosts: tuple[str, str], how: str) -> None:
    agents = start(hosts, "--trainer.max_epochs=500")
    wait_for_checkpoint(agents)
    began = time.monotonic()
    if how == "cut off":
        ip("-n", hosts[1], "link", "set", "wire", "down")
    else:
        pids = [int(pid) for pid in ip("netns", "pids", hosts[1]).split()]
        for pid in pids if how == "killed" else sorted(pids)[-1:]:
            os.kill(pid, signal.SIGKILL)
    for agent in agents if how != "killed" else agents[:1]:
        assert agent.wait(timeout=90) != 0
    seconds = time.monotonic() - began
    print(f"{how}: all ended after {seconds:.0f} s")
    for agent in agents:
        agent.wait(timeout=90)
    first, second = (Path(f"{address}.log").read_text() for address in ADDRESSES)
    errors = re.findall("mnist-lstm: .*", first)
    print(errors, re.findall("mnist-lstm: .*", second))
    assert seconds < 60
    assert len([line for line in errors if "warning" not in line]) == 1, first
    assert "--ckpt_path last" in errors[-1]
    if how == "cut off":
        assert "has lost contact" in second
        ip("-n", hosts[1], "link", "set", "wire", "up")
    done = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)
    epochs = done["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] + 2
    again = start(hosts, f"--ckpt_path={RUN}/checkpoints/last.ckpt", f"--trainer.max_epochs={epochs}")
    for agent in again:
        agent.wait(timeout=120)
    assert "test accuracy" in Path(f"{ADDRESSES[0]}.log").read_text()
