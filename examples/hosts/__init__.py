"""How one training is begun on several machines: by a shell, by SLURM, by Ray."""
