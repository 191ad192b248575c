"""Pretraining from a config to a finished run directory."""

from hyena_ds.engine.distributed import from_main, process_group
from hyena_ds.errors import EXIT_DONE, InputError
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.parallel.heartbeat import Heartbeat
from hyena_ds.training.check import check_run
from hyena_ds.training.config import RunConfig
from hyena_ds.training.loop import train
from hyena_ds.training.preflight import preflight
from hyena_ds.training.pretraining_run import open_run
from hyena_ds.training.signals import StopRequest


def pretrain(
    config: RunConfig,
    environment: ProcessEnvironment,
    *,
    dry_run: bool = False,
    measure_first: bool = False,
    stop_after_steps: int | None = None,
) -> int:
    """Train until the stages are done, a signal comes, or `stop_after_steps` steps are completed in all.

    Returns the exit code: 0 done, 75 stopped by a signal with everything saved. Where another rank is lost, the
    heartbeat ends this process with 75.
    """
    checked = check_run(config, environment)
    if environment.is_main:
        print(checked.summary(), flush=True)
    if dry_run:
        if environment.is_main:
            print("every check passed; without --dry-run the run starts")
        return EXIT_DONE
    stop = StopRequest()  # before the start, which can take minutes: a signal then waits for the first step
    seconds = config.parallel.heartbeat_seconds
    with process_group(environment) as device, Heartbeat(environment, seconds, from_main) as heartbeat:
        if measure_first:
            preflight(checked, device)
        run = open_run(checked, device, heartbeat)
        try:
            return train(run, stop, stop_after_steps)
        except InputError as error:
            if environment.world_size > 1:
                error.rank = environment.rank
            raise
        finally:
            run.close()
