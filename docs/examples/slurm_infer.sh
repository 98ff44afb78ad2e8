#!/bin/bash
# Many photographs in 16 shares: sbatch slurm_infer.sh MODEL.onnx PHOTOGRAPHS OUT
# When all have ended: sbatch --dependency=afterok:JOB --wrap "ass-tf-infer join OUT"
#SBATCH --job-name=ass-tf-infer
#SBATCH --array=1-16
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@60
#SBATCH --requeue
set -uo pipefail
source .venv/bin/activate

# A share that is started again leaves out what is complete. Status 1: some photographs cannot be read; the table says
# which, and the other results are there.
shard=$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT
srun ass-tf-infer "$1" "$2" --out "$3" --keep-folders --shard "$shard" --resume "${@:4}"
status=$?
if [ $status -ge 128 ]; then
    [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ] && scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
[ $status = 1 ] && exit 0
exit $status
