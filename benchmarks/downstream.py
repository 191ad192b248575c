"""Fine-tuning on real DNA, pretrained and from scratch, beside logistic regression on k-mers and a CNN.

`python benchmarks/downstream.py --data ../shared/data --place /tmp/downstream --model /tmp/held_out/run --tasks ocr`,
--model being what benchmarks/chr20_held_out.py trained. Each model's settings are chosen once, by the validation score
of the first seed on the whole training set; how long a network trains by that of each run. Every run is kept in the
JSON of its task the moment it is done: killed, or stopped after --minutes (exit code 75), the same command goes on.
Commands with other --tasks or --models may run beside it, with the same --output.
"""

import argparse
import asyncio
import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.downstream_plots import chosen, plot_bars, plot_curves, print_summary, summarise
from benchmarks.downstream_runs import (
    BATCH,
    MODELS,
    PATIENCE,
    PRETRAINED,
    Case,
    Run,
    begin_worker,
    settings_of,
    timed_scores,
)
from benchmarks.downstream_tasks import TASKS, WITHOUT_PLACES, shortened, write_table, write_tables
from benchmarks.held_out import check_held_out
from benchmarks.machine import describe_machine
from hyena_ds.downstream.results import write_json
from hyena_ds.errors import EXIT_DONE, EXIT_RESTART, InputError, run_command
from hyena_ds.hub.pretrained import read_pretrained

SEEDS = (1, 2, 3)
FINE_TUNING = ("average_weights", "resid_dropout", "language_loss", "cutout")
SIZES = (250, 1000)  # of the learning curve, beside the whole training set
Result = TypeVar("Result")


class OutOfTime(Exception):  # noqa: N818 - the same command goes on
    """No further run may begin."""


class Bench:
    """Runs the cases of `task` that its JSON does not hold yet in processes of `pool`, until `deadline`."""

    def __init__(self, arguments: argparse.Namespace, task: str, pool: ProcessPoolExecutor, deadline: float) -> None:
        self.arguments, self.task, self.pool, self.deadline = arguments, TASKS[task], pool, deadline
        self.path = arguments.output / f"downstream_{task}.json"
        model = read_pretrained(arguments.model)
        weights = model.parameters
        self.weights = digest_of(*(weights[name].float().numpy().tobytes() for name in sorted(weights)))
        self.shape = dataclasses.asdict(model.config)
        self.common = {
            "limit": arguments.limit,
            "least_steps": arguments.least_steps,
            "epochs": self.task.epochs,
            "batch": BATCH,
            "patience": PATIENCE,
            "parts": self.task.parts,
            "either_strand": self.task.either_strand,
            "shape": self.shape,
        }
        # Named where a task has them: results from before these settings stay good.
        extra = {name: getattr(self.task, name) for name in FINE_TUNING}
        self.common |= {name: value for name, value in extra.items() if value}
        self._read_rows()
        if task in WITHOUT_PLACES and PRETRAINED in arguments.models.split(","):
            tested = pd.read_parquet(self._whole_table(SEEDS[0]), filters=[("split", "==", "test")])
            check_held_out(arguments.model, list(tested["sequence"]))

    def _read_rows(self) -> None:
        """Those of the JSON, which other commands add to."""
        kept = read_kept(self.path) or {"common": self.common, "rows": []}
        if kept["common"] != self.common:
            raise InputError(
                f"{self.path} holds runs of {kept['common']}, these are {self.common}; give another --output"
            )
        self.rows: list[dict[str, Any]] = kept["rows"]

    def _keep(self, row: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            self._read_rows()
            self.rows.append(row)
            summary = summarise(self.rows, SEEDS)
            write_json(self.path, {"common": self.common, "summary": summary, "rows": self.rows})

    async def run(self, case: Case) -> dict[str, Any]:
        """The row of a case: what it is, its valid and test scores, and on what it ran."""
        table = self.table(case)
        examples = digest_of(table.read_bytes())
        wanted = {**dataclasses.asdict(case), "examples": examples}
        if case.model == PRETRAINED:
            wanted["weights"] = self.weights
        for row in self.rows:
            if wanted.items() <= row.items():
                return row
        name = f"{case.name}-{digest_of(repr((wanted, self.common)).encode())}"
        run = Run(
            case, table, self.steps(table), self.arguments.place / "runs" / name, self.arguments.model, self.shape
        )
        timed = await asyncio.get_running_loop().run_in_executor(self.pool, timed_scores, run, self.deadline)
        if timed is None:
            raise OutOfTime
        scores, seconds = timed
        row = {**wanted, **scores, "seconds": seconds, "machine": describe_machine(self.arguments.commit)}
        self._keep(row)
        print(f"{case.name}: {row['test']} in {seconds} s", flush=True)
        return row

    def table(self, case: Case) -> Path:
        """The examples of a case."""
        whole = self._whole_table(case.seed)
        return whole if case.train is None else shortened(whole, case.train)

    def _whole_table(self, seed: int) -> Path:
        return write_table(self.task, self.arguments.data, self.arguments.place, seed, self.arguments.limit)

    def steps(self, table: Path) -> int:
        """Of training on a table."""
        count = int((pd.read_parquet(table, columns=["split"])["split"] == "train").sum())
        return max(self.task.epochs * -(-count // BATCH), self.arguments.least_steps)

    async def run_model(self, model: str) -> None:
        """Choose a model's setting on the whole training set, run all seeds with it, and then on parts of the set."""
        task = self.task
        tried = await all_of(self.run(Case(task.name, model, SEEDS[0], None, one)) for one in settings_of(model, task))
        setting = chosen(tried, task.metric)
        cases = product((None, *SIZES), SEEDS)
        await all_of(self.run(Case(task.name, model, seed, size, setting)) for size, seed in cases)


async def all_of(runs: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """What each of `runs` returns; where some raise, one of their errors, once all have ended."""
    found = await asyncio.gather(*runs, return_exceptions=True)
    errors = [one for one in found if isinstance(one, BaseException)]
    for error in sorted(errors, key=lambda one: isinstance(one, OutOfTime)):
        raise error
    return [one for one in found if not isinstance(one, BaseException)]


def begin_pool(processes: int, logs: Path) -> ProcessPoolExecutor:
    """Processes that run cases, dealt out over the GPUs that this one sees."""
    context = multiprocessing.get_context("spawn")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    seen = visible.split(",")
    gpus = context.Queue()
    for number in range(processes):
        gpus.put(seen[number % len(seen)])
    return ProcessPoolExecutor(processes, context, initializer=begin_worker, initargs=(gpus, logs))


def write_all_tables(pool: ProcessPoolExecutor, arguments: argparse.Namespace, tasks: Sequence[str]) -> None:
    """Those of each task by one process, since they share what they read."""
    begun = [
        pool.submit(write_tables, TASKS[task], arguments.data, arguments.place, SEEDS, arguments.limit)
        for task in tasks
    ]
    for tables in begun:
        tables.result()


async def run_all(benches: Sequence[Bench], models: Sequence[str]) -> None:
    """Every model of every task, the settings of all before any part."""
    await all_of(bench.run_model(model) for model in models for bench in benches)


def digest_of(*parts: bytes) -> str:
    """What tells these bytes from others."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def read_kept(path: Path) -> dict[str, Any] | None:
    """What the JSON of a task holds; None where there is none."""
    kept: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return kept


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="such as ../shared/data")
    parser.add_argument("--place", type=Path, required=True, help="where tables and runs lie")
    parser.add_argument("--model", type=Path, required=True, help="what is fine-tuned, and whose shape scratch has")
    parser.add_argument("--tasks", default=",".join(TASKS), help="some of %(default)s")
    parser.add_argument("--models", default=",".join(MODELS), help="some of %(default)s")
    parser.add_argument("--processes", type=int, default=4, help="runs side by side (%(default)s), on all GPUs alike")
    parser.add_argument("--minutes", type=float, default=7.5, help="after which no further run begins")
    parser.add_argument("--least-steps", type=int, default=200, help="of small training sets (%(default)s)")
    parser.add_argument("--limit", type=int, help="examples of each split, to try the script")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON and PNG go")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    arguments = parser.parse_args()
    for name, known in (("tasks", TASKS), ("models", MODELS)):
        unknown = set(getattr(arguments, name).split(",")) - set(known)
        if unknown:
            parser.error(f"--{name} {','.join(sorted(unknown))} is none of {','.join(known)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    deadline = time.time() + 60 * arguments.minutes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_RESTART))
    code, logs = EXIT_DONE, arguments.place / "logs"
    pool = begin_pool(arguments.processes, logs)
    try:
        tasks = arguments.tasks.split(",")
        write_all_tables(pool, arguments, tasks)
        benches = [Bench(arguments, task, pool, deadline) for task in tasks]
        asyncio.run(run_all(benches, arguments.models.split(",")))
    except OutOfTime:
        print("out of time: give the same command again to go on")
        code = EXIT_RESTART
    except BrokenProcessPool:
        raise InputError(
            f"a process of --processes {arguments.processes} ended by itself, for lack of memory perhaps: {logs} has "
            "what it said; give the same command again to go on, with fewer processes if need be"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.kill()  # SIGTERM would ask a fine-tuning to save, and the worker to go on
    kept = [read_kept(arguments.output / f"downstream_{task}.json") for task in TASKS]
    summary = summarise([row for one in kept if one for row in one["rows"]], SEEDS)
    if summary:
        plot_bars(summary, arguments.output / "downstream.png")
        plot_curves(summary, arguments.output / "downstream_curve.png")
        print_summary(summary)
    return code


if __name__ == "__main__":
    run_command(main)
