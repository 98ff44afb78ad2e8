#!/bin/bash
# The runs of a sweep on eight GPUs, one each: sbatch slurm_sweep.sh table1.json [--set KEY=VALUE ...]
# Replace --array, --time and the name of the environment by yours. All tasks work on one list of runs.
#SBATCH --job-name=ass-tf-sweep
#SBATCH --array=1-8
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
set -uo pipefail
source .venv/bin/activate

# No run is begun that would not end in 11 of the 12 hours. SIGTERM comes 300 seconds before the time is up; the run that
# is under way saves a snapshot, and the task ends with status 143.
srun ass-tf sweep --config "$1" --out "runs/$(basename "$1" .json)" --max-hours "${MAX_HOURS:-11}" "${@:2}"
status=$?
# 75: runs are left for which there was no time. From 128 on: a signal. Either way a new task can go on.
if [ $status = 75 ] || [ $status -ge 128 ]; then
    task=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
    [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ] && scontrol requeue "$task"
fi
exit $status
