#!/bin/sh
# One training over the nodes of a SLURM job, a process per node with all its GPUs:
#
#     sbatch examples/hosts/slurm.sh label_noise --preset=cifar10 --methods=sop_plus
#
# Nodes see the same files. A job that was preempted continues when it is submitted again.
#SBATCH --job-name=robustjax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
study=$1
shift
# When one ends, the others end by themselves: they save first, or say why.
exec srun --kill-on-bad-exit=0 python -m "experiments.$study" "$@" --distributed
