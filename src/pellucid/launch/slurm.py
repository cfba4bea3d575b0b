"""An sbatch script: one torchrun on each node, which saves ahead of the time limit and queues itself again."""

import math
from collections.abc import Sequence

from pellucid.core.errors import UsageError
from pellucid.launch.script import preamble, quoted, torchrun
from pellucid.recipe.launch import LaunchConfig

__all__ = ["slurm_script"]

# Jobs that share a node listen on different ports; all lie below those that Linux gives out by itself.
_FIRST_PORT, _PORTS = 20_000, 10_000

_RENDEZVOUS = """\
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts%%$'\\n'*}
"""

# SIGUSR1 means the time limit, so that a job that is cancelled, which is SIGTERM, does not come back. The processes are told by
# scancel: srun itself takes SIGTERM as an order to kill them.
_TIME_LIMIT = """\
# Slurm sends SIGUSR1 ahead of the time limit: training is told to save and leave, then the job is queued again.
near_limit=
trap 'near_limit=yes; interrupted=yes; scancel --signal=TERM "$job" || true' USR1
"""

_WAIT = """\
step=$!
# A signal ends wait before the step has ended; then it waits again.
interrupted=yes
while [[ -n $interrupted ]]; do
  interrupted=
  status=0
  wait "$step" || status=$?
done

if [[ -n $near_limit && $status -ne 0 ]]; then
  echo "Stopped ahead of the time limit; queued again to continue from the last checkpoint."
  scontrol requeue "$job"
  exit 0
fi
exit "$status"
"""


def slurm_script(launch: LaunchConfig, arguments: Sequence[str], name: str, log_folder: str, runs: Sequence[str] = ()) -> str:
    """Return an sbatch script that runs `pellucid` with these arguments on every device of all nodes.

    `name` is the job's; its output goes to JOBID.log in `log_folder`. With `runs` it is an array of jobs, each with `--only RUN`
    behind the arguments. Raises `UsageError` when Slurm could not write there.
    """
    if "\n" in log_folder or "\\" in log_folder:
        raise UsageError(f"--runs: the path {log_folder!r} has a line break or a backslash, which Slurm cannot write its log to")
    # A per cent sign in the path would begin one of Slurm's own placeholders.
    log = log_folder.replace("%", "%%") + "/%j.log"
    options = [
        f"--job-name={name}",
        f"--nodes={launch.nodes}",
        "--ntasks-per-node=1",
        f"--output={log}",
        # The log of a job that was queued again goes on where it ended.
        "--open-mode=append",
        "--requeue",
        f"--signal=B:USR1@{launch.grace_s}",
    ]
    if launch.device == "gpu":
        options.append(f"--gpus-per-node={launch.devices_per_node}")
    if launch.time_limit_h is not None:
        options.append(f"--time={_time(launch.time_limit_h)}")
    if runs:
        options.append(f"--array=0-{len(runs) - 1}")
    options += [f"--{key}={value}" for key in ("partition", "account") if (value := getattr(launch.slurm, key)) is not None]
    rendezvous = [
        f"--nnodes={launch.nodes}",
        "--rdzv-backend=c10d",
        f'--rdzv-endpoint="$head:$(({_FIRST_PORT} + SLURM_JOB_ID % {_PORTS}))"',
        '--rdzv-id="$SLURM_JOB_ID"',
    ]
    # One node that ends first, while the others still save, must not end them; and torchrun's processes may use every core.
    step = torchrun(launch, rendezvous, arguments, "srun --kill-on-bad-exit=0 --cpu-bind=none")
    if runs:
        step[-1] += ' --only "${runs[$SLURM_ARRAY_TASK_ID]}"'
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            *(f"#SBATCH {quoted([option])}" for option in (*options, *launch.slurm.options)),
            "",
            *preamble(launch),
            # Of an array, the bare number of one of its jobs is the whole array's.
            *([f"runs=({quoted(runs)})", 'job="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"'] if runs else ['job="$SLURM_JOB_ID"']),
            _RENDEZVOUS,
            _TIME_LIMIT,
            *step[:-1],
            step[-1] + " &",
            _WAIT,
        ]
    )


def _time(hours: float) -> str:
    """Return a time as sbatch takes it, D-HH:MM:00, in whole minutes, rounded down: Slurm itself would round up."""
    # Rounded first, because 2.3 · 60 is a little less than 138 in binary.
    minutes = math.floor(round(hours * 60, 6))
    return f"{minutes // 1440}-{minutes // 60 % 24:02}:{minutes % 60:02}:00"
