"""Fine-tuning from a config to finished run directories: one for each seed and fold."""

from collections.abc import Sequence
from pathlib import Path

import torch

from hyena_ds.config.load import dump_config
from hyena_ds.downstream.best import best_path
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.members import members_of, summarise
from hyena_ds.downstream.open import check_head, find_own_checkpoint, open_fine_tuning, read_start
from hyena_ds.downstream.plan import PlannedFineTuning, plan_fine_tuning, read_cache
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.results import RESULTS_NAME, leave_results
from hyena_ds.downstream.run import FineTuningRun
from hyena_ds.engine.checkpoint_store import read_checkpoint
from hyena_ds.engine.distributed import from_main, process_group
from hyena_ds.errors import EXIT_DONE, InputError
from hyena_ds.hub.pretrained import PretrainedModel
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.parallel.heartbeat import Heartbeat
from hyena_ds.training.loop import train
from hyena_ds.training.plan import check_run_directory
from hyena_ds.training.run import CONFIG_NAME
from hyena_ds.training.signals import StopRequest


def fine_tune(
    config: FineTuneConfig,
    environment: ProcessEnvironment,
    *,
    dry_run: bool = False,
    stop_after_steps: int | None = None,
) -> int:
    """Train, score and export every run that the config asks for; those that are finished are left as they are.

    Returns the exit code: 0 done, 75 stopped by a signal with everything saved.
    """
    check_run_directory(Path(config.run_directory))
    start = read_start(config)
    planned = plan_members(config, environment, start)
    if environment.is_main:
        print(planned[0].summary(), flush=True)
        if len(planned) > 1:
            print(f"runs: {len(planned)}, one for each seed and fold, below {config.run_directory}", flush=True)
    if dry_run:
        for one in planned:
            if not _is_finished(one):
                find_own_checkpoint(one)
        if environment.is_main:
            print("every check passed; without --dry-run the run starts")
        return EXIT_DONE
    stop = StopRequest()
    seconds = config.parallel.heartbeat_seconds
    with process_group(environment) as device, Heartbeat(environment, seconds, from_main) as heartbeat:
        for one in planned:
            if from_main(_is_finished(one)):
                _say(one, f"{one.directory} is finished: {RESULTS_NAME} is there")
                continue
            code = _train_one(one, start, device, heartbeat, stop, stop_after_steps)
            if code != EXIT_DONE or not from_main(_is_finished(one)):
                return code
    if len(planned) > 1 and environment.is_main:
        _print_summary(config, [one.directory for one in planned])
    return EXIT_DONE


def plan_members(
    config: FineTuneConfig, environment: ProcessEnvironment, start: PretrainedModel | None
) -> list[PlannedFineTuning]:
    """Every run of the config, checked; the files are read once."""
    say = print if environment.is_main else lambda line: None
    examples = read_examples(config.task, config.data, read_cache(Path(config.run_directory)), say)
    planned = [
        plan_fine_tuning(member.config, environment, examples, start, member.fold) for member in members_of(config)
    ]
    for one in planned:
        check_head(config, start, one.classes)
    return planned


def _is_finished(planned: PlannedFineTuning) -> bool:
    """Whether the run has results, and of this config."""
    config = planned.directory / CONFIG_NAME
    if not (planned.directory / RESULTS_NAME).is_file() or not config.is_file():
        return False
    return config.read_text(encoding="utf-8") == dump_config(planned.config)


def _say(planned: PlannedFineTuning, text: str) -> None:
    if planned.environment.is_main:
        print(text, flush=True)


def _train_one(
    planned: PlannedFineTuning,
    start: PretrainedModel | None,
    device: torch.device,
    heartbeat: Heartbeat,
    stop: StopRequest,
    stop_after_steps: int | None,
) -> int:
    run = open_fine_tuning(planned, start, device, heartbeat)
    try:
        code = train(run, stop, stop_after_steps)
        if code == EXIT_DONE and (run.satisfied() or run.step == run.schedule.total_steps):
            _leave_results(run)
        return code
    except InputError as error:
        if planned.environment.world_size > 1:
            error.rank = planned.environment.rank
        raise
    finally:
        run.close()


def _leave_results(run: FineTuningRun) -> None:
    """Score the best step on what was never trained on, and write everything that a finished run leaves."""
    run.heartbeat.phase = "scoring the best step"
    planned = run.fine_tuning
    best = best_path(planned.directory, run.best.step)
    run.score_with(read_checkpoint(best).parameters, best)
    predictions = {name: run.predict(name) for name in ("valid", "test") if len(planned.sets[name])}
    if run.environment.is_main:
        for line in leave_results(planned, run.best.step, predictions):
            run.progress.say(line)


def _print_summary(config: FineTuneConfig, directories: Sequence[Path]) -> None:
    summary = summarise(config, directories)
    for split, metrics in summary["scores"].items():
        parts = [
            f"{name} {spread['mean']:.4f} ± {spread['deviation'] or 0:.4f}"
            for name, spread in metrics.items()
            if spread["mean"] is not None
        ]
        print(f"{split}, mean ± deviation of {len(directories)} runs: {', '.join(parts)}", flush=True)
    print(f"done: {Path(config.run_directory) / RESULTS_NAME}", flush=True)
