# Sourced by the job scripts in the repository's root: the Python environment and the threads of a process.
environment=${VIRTUAL_ENV:-$PWD/.venv}
if [[ ! -x "$environment/bin/python" ]]; then
    echo "error: no Python in $environment/bin; activate the environment before sbatch, or make it by: make env" >&2
    exit 2
fi
export PATH="$environment/bin:$PATH"
# srun no longer takes --cpus-per-task from sbatch by itself.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$SRUN_CPUS_PER_TASK}"
