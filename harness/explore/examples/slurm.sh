#!/bin/sh
#SBATCH --job-name=mqttspec-explore
#SBATCH --array=1-16
#SBATCH --cpus-per-task=1
#SBATCH --time=02:00:00
# Each task is a shard. Merge the folders when all are done.
mqttspec explore --for 1h --jobs 1 --shard "$SLURM_ARRAY_TASK_ID/16" --out "results/$SLURM_ARRAY_TASK_ID"
# 1 is the exit code of a campaign with findings.
[ $? -le 1 ]
