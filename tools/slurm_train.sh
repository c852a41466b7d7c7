#!/usr/bin/env bash
# Train on a Slurm cluster: one task a GPU, started again where it stopped.
#
#   NODES=4 GPUS=8 tools/slurm_train.sh CONFIG WORK_DIR [options of tools/train.py]
#   GPUS=0 TASKS=2 tools/slurm_train.sh CONFIG WORK_DIR          # on CPUs, by gloo
#
# sbatch's own options come from the environment (SBATCH_PARTITION, SBATCH_ACCOUNT,
# SBATCH_TIMELIMIT, ...). Run it where the project's Python is active. Further settings:
#   NODES=1  GPUS=8 (a node)  TASKS=1 (a node, if GPUS=0)
#   CPUS=8 (a task, for the data loader)
#   MASTER_PORT (derived from the job's number, so that jobs may share a node)
# A job that is preempted, reaches its time limit or loses a node goes back to the queue
# and resumes from the last checkpoint of WORK_DIR. One that fails by itself does not.
#SBATCH --job-name=snnssl_mm
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -euo pipefail

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then # the comment above
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" | grep -v '^SBATCH'
    exit 0
fi

if [[ $# -lt 2 ]]; then
    echo "usage: NODES=4 GPUS=8 $0 CONFIG WORK_DIR [options of tools/train.py]" >&2
    exit 2
fi
if [[ -z "${SLURM_JOB_ID:-}" ]]; then # on the login node: hand this script to sbatch
    [[ -f "$1" ]] || { echo "error: $1 does not exist; expected a config" >&2; exit 2; }
    mkdir -p "$2"
    export GPUS="${GPUS:-8}" CPUS="${CPUS:-8}"
    if [[ "$GPUS" == 0 ]]; then
        tasks=(--ntasks-per-node="${TASKS:-1}")
    else
        tasks=(--ntasks-per-node="$GPUS" --gpus-per-node="$GPUS")
    fi
    exec sbatch --nodes="${NODES:-1}" "${tasks[@]}" --cpus-per-task="$CPUS" \
        --output="$2/slurm-%j.out" --export=ALL "$0" "$@"
fi

config=$1 work_dir=$2
shift 2
export MASTER_PORT="${MASTER_PORT:-$((10000 + SLURM_JOB_ID % 20000))}"

# Two minutes before the time limit Slurm signals this shell, which asks for another turn.
requeue() {
    interrupted=yes
    echo "time limit near: back to the queue"
    scontrol requeue "$SLURM_JOB_ID"
}
trap requeue USR1

# A task that fails ends the others at once. Without a checkpoint --resume starts at 0.
srun --kill-on-bad-exit=1 --cpus-per-task="${CPUS:-8}" \
    python -u tools/train.py "$config" --work-dir "$work_dir" --launcher slurm "$@" \
    --resume &
job=$!
interrupted=yes # a signal that is trapped ends wait early
while [[ -n "$interrupted" ]]; do
    interrupted=
    wait "$job" && status=0 || status=$?
done
exit "$status"
