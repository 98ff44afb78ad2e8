#!/bin/bash
# One run on two machines with four GPUs each. Submit it as: sbatch slurm_train.sh gta_csa.json
# Replace --nodes, --gpus-per-node and the name of the environment by yours.
#SBATCH --job-name=ass-tf
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
set -uo pipefail
source .venv/bin/activate

# One task per machine: a worker takes all GPUs that it sees. SIGTERM comes 300 seconds before the time is up; the
# workers save a snapshot and end with status 143.
srun --kill-on-bad-exit=0 ass-tf train --cluster slurm --config "$1" --run "runs/$(basename "$1" .json)" "${@:2}"
status=$?
# 75: a worker has gone. From 128 on: a signal ended a worker, or the time was up. Either way the job can go on from the
# last snapshot.
if [ $status = 75 ] || [ $status -ge 128 ]; then
    [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ] && scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
