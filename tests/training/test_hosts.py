"""Two hosts: network namespaces with a wire between them, torchrun's rendezvous, and what dies in the middle."""

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
from conftest import REPOSITORY

ADDRESSES = ("10.77.0.1", "10.77.0.2")
RUN = Path("runs/digits/version_0")

pytestmark = pytest.mark.slow


def ip(*args: str, check: bool = True) -> str:
    return subprocess.run(["ip", *args], check=check, capture_output=True, text=True).stdout


def processes_of(host: str) -> list[int]:
    return [int(pid) for pid in ip("netns", "pids", host).split()]


def last_rank_of(host: str) -> int:
    """Return the process id of the last process that trains on a host."""
    ranks = {}
    for pid in processes_of(host):
        local = re.search(rb"\0LOCAL_RANK=(\d+)\0", Path(f"/proc/{pid}/environ").read_bytes())
        if local:
            ranks[int(local[1])] = pid
    return ranks[max(ranks)]


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two namespaces, each with one end of a veth pair."""
    names = (f"mnist-{os.getpid()}-0", f"mnist-{os.getpid()}-1")
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
                # as configs/README.md says; else torchrun waits for a lost host for a quarter of an hour
                ip("netns", "exec", name, "sh", "-c", "echo 7 > /proc/sys/net/ipv4/tcp_retries2")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces are not allowed here: {error}")
        for name in names:
            stack.callback(lambda name=name: kill(processes_of(name)))
        yield names


def start(hosts: tuple[str, str], each: int, *args: str) -> list[Any]:
    """Start `fit` on both hosts, with a number of processes each."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "wire",
    }
    agents = []
    for host, address in zip(hosts, ADDRESSES, strict=True):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--nproc-per-node={each}"]
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


def load(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("what", "host", "each"),
    [("host killed", 0, 1), ("host killed", 1, 1), ("process killed", 0, 2), ("process killed", 1, 2), ("cut", 1, 1)],
)
def test_what_is_left_ends_clearly_and_the_run_is_resumed(
    hosts: tuple[str, str], what: str, host: int, each: int
) -> None:
    agents = start(hosts, each, "--trainer.max_epochs=500")
    wait_for_checkpoint(agents)
    began = time.monotonic()
    if what == "cut":
        ip("-n", hosts[host], "link", "set", "wire", "down")
    else:
        kill(processes_of(hosts[host]) if what == "host killed" else [last_rank_of(hosts[host])])
    seconds = []
    for agent in agents:
        assert agent.wait(timeout=120) != 0
        seconds.append(round(time.monotonic() - began))
    logs = [Path(f"{address}.log").read_text() for address in ADDRESSES]
    errors = [re.findall("^mnist-lstm: .*", log, re.MULTILINE) for log in logs]
    print(f"{what}, host {host}, {each} on each: ended after {seconds} s", *errors, sep="\n")
    for number, (log, lines) in enumerate(zip(logs, errors, strict=True)):
        if what != "host killed" or number != host:
            assert len(lines) == 1, log
            assert "has lost contact with another one" in lines[0]
            assert "--ckpt_path last" in lines[0]
    if what == "process killed":
        assert "Signal 9 (SIGKILL) received by PID" in logs[host]
    if what == "cut":
        ip("-n", hosts[host], "link", "set", "wire", "up")
    done = load(RUN)
    epochs = done["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] + 2
    options = (f"--ckpt_path={RUN}/checkpoints/last.ckpt", f"--trainer.max_epochs={epochs}")
    assert [agent.wait(timeout=300) for agent in start(hosts, each, *options)] == [0, 0]
    assert "test accuracy" in Path(f"{ADDRESSES[0]}.log").read_text()
    resumed = load(RUN.with_name("version_1"))
    assert resumed["global_step"] == 10 * epochs > done["global_step"], "1,257 images in batches of 128"
