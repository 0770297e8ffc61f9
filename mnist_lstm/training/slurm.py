"""SLURM: put a job back into the queue, and go on with its run when it starts again.

Lightning's own requeuing is not used: it saves in the middle of a step, and a job would resume from whatever
``hpc_ckpt_*.ckpt`` lies in the folder, also that of another run.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from mnist_lstm.files import write

JOB_FILE = "slurm_job"
"""In a run's folder: the job that the run belongs to, and its command line, as a job may train several networks."""


def job() -> str | None:
    """Return the id of this process's job, as ``scontrol`` takes it, or None without SLURM."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    return os.environ.get("SLURM_JOB_ID")


def requeue(name: str) -> str:
    """Put a job back into the queue; return why that failed, or ""."""
    try:
        done = subprocess.run(["scontrol", "requeue", name], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"scontrol ended with {done.returncode}"


def write_job(run: Path) -> None:
    """Write into a run's folder which job it belongs to, if any."""
    if job() is not None:
        write(run / JOB_FILE, _this_run().encode())


def _this_run() -> str:
    return f"{job()}\n{shlex.join(sys.argv[1:])}\n"


def requeued_checkpoint(runs: Path) -> Path | None:
    """Return the last checkpoint of the newest run of this job and command line, if the job has been started again."""
    if os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    files = sorted(runs.glob(f"*/version_*/{JOB_FILE}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    own = (file.with_name("checkpoints") / "last.ckpt" for file in files if file.read_text() == _this_run())
    return next((checkpoint for checkpoint in own if checkpoint.is_file()), None)
