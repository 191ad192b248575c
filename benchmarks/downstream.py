"""Fine-tuning on real DNA, pretrained and from scratch, beside logistic regression on k-mers and a CNN.

`python benchmarks/downstream.py --data ../shared/data --place /tmp/downstream --model /tmp/held_out/run --tasks ocr`,
--model being what benchmarks/chr20_held_out.py trained. Each model's settings are chosen once, by the validation score
of the first seed on the whole training set; how long a network trains by that of each run. Every run is kept in the
JSON of its task the moment it is done: killed, or stopped after --minutes (exit code 75), the same command goes on.
Commands with different --tasks may share a GPU.
"""

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.baselines import CnnRun, CnnTraining, Table, kmer_features, kmer_regression
from benchmarks.downstream_plots import chosen, plot_bars, plot_curves, print_summary, summarise
from benchmarks.downstream_tasks import TASKS, WITHOUT_PLACES, shortened, write_table
from benchmarks.held_out import check_held_out
from benchmarks.machine import describe_machine
from hyena_ds.downstream.call import fine_tune_here, task_config
from hyena_ds.downstream.results import write_json
from hyena_ds.downstream.split import SPLITS
from hyena_ds.errors import EXIT_DONE, EXIT_RESTART, InputError, StoppedError, run_command
from hyena_ds.hub.pretrained import read_pretrained

SEEDS = (1, 2, 3)
PRETRAINED, SCRATCH, KMERS, CNN = "pretrained", "scratch", "k-mers", "CNN"
Setting = dict[str, float]
RATES: list[Setting] = [{"learning_rate": rate} for rate in (2e-4, 6e-4, 2e-3)]
GRIDS: dict[str, list[Setting]] = {
    PRETRAINED: RATES,
    SCRATCH: RATES,
    CNN: RATES,
    KMERS: [{"k": k, "inverse_penalty": penalty} for k in (4, 5, 6) for penalty in (1e-4, 1e-3, 1e-2, 0.1)],
}
SIZES = (250, 1000)  # of the learning curve, beside the whole training set
BATCH = 64
SCORES, PATIENCE = 20, 6  # scores in a whole run, and those without a better one that end it
METRICS = ("accuracy", "mcc", "auroc")


@dataclasses.dataclass(frozen=True)
class Case:
    """One run on `train` labelled examples, None for all."""

    task: str
    model: str
    seed: int
    train: int | None
    setting: Setting

    @property
    def name(self) -> str:
        words = [self.task, self.model, self.seed, self.train or "all", *self.setting.values()]
        return "-".join(map(str, words))


class OutOfTime(Exception):  # noqa: N818 - the same command goes on
    """No further run may begin."""


class Bench:
    """Runs the cases of `task` that its JSON does not hold yet, until `deadline`."""

    def __init__(self, arguments: argparse.Namespace, task: str, deadline: float) -> None:
        self.arguments, self.task, self.deadline = arguments, task, deadline
        self.path = arguments.output / f"downstream_{task}.json"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.common = {name: getattr(arguments, name) for name in ("limit", "epochs", "least_steps")}
        model = read_pretrained(arguments.model)
        self.common["weights"] = digest_of(*(weight.float().numpy().tobytes() for weight in model.parameters.values()))
        self.shape = dataclasses.asdict(model.config)
        kept = read_kept(self.path) or {"common": self.common, "rows": []}
        if kept["common"] != self.common:
            raise InputError(
                f"{self.path} holds runs of {kept['common']}, these are {self.common}; give another --output"
            )
        self.rows: list[dict[str, Any]] = kept["rows"]
        self._features: dict[tuple[Path, int], dict[str, np.ndarray]] = {}
        if task in WITHOUT_PLACES:
            tested = pd.read_parquet(self._whole_table(SEEDS[0]), filters=[("split", "==", "test")])
            check_held_out(arguments.model, list(tested["sequence"]))

    def run(self, case: Case) -> dict[str, Any]:
        """The row of a case: what it is, its valid and test scores, and on what it ran."""
        table = self.table(case)
        examples = digest_of(table.read_bytes())
        wanted = {**dataclasses.asdict(case), "examples": examples}
        for row in self.rows:
            if wanted.items() <= row.items():
                return row
        if time.monotonic() > self.deadline:
            raise OutOfTime
        started = time.monotonic()
        scores = self._scores(case, table, f"{case.name}-{digest_of(examples.encode(), repr(self.common).encode())}")
        seconds, machine = round(time.monotonic() - started, 1), describe_machine(self.arguments.commit)
        row = {**wanted, **scores, "seconds": seconds, "machine": machine}
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        summary = summarise(self.rows, SEEDS)
        write_json(self.path, {"common": self.common, "summary": summary, "rows": self.rows})
        print(f"{case.name}: {row['test']} in {seconds} s", flush=True)
        return row

    def table(self, case: Case) -> Path:
        """The examples of a case."""
        whole = self._whole_table(case.seed)
        return whole if case.train is None else shortened(whole, case.train)

    def _whole_table(self, seed: int) -> Path:
        return write_table(TASKS[self.task], self.arguments.data, self.arguments.place, seed, self.arguments.limit)

    def steps(self, table: Path) -> int:
        """Of training on a table."""
        count = int((pd.read_parquet(table, columns=["split"])["split"] == "train").sum())
        return max(self.arguments.epochs * -(-count // BATCH), self.arguments.least_steps)

    def _scores(self, case: Case, path: Path, name: str) -> dict[str, dict[str, float | None]]:
        task = TASKS[case.task]
        if case.model in (PRETRAINED, SCRATCH):
            return self._fine_tuned(case, path, name)
        table = Table.read(path, task.kind)
        if case.model == KMERS:
            k = int(case.setting["k"])
            if (path, k) not in self._features:  # every penalty asks for the same
                self._features = {(path, k): kmer_features(table, k, both_strands=task.either_strand)}
            found = kmer_regression(table, self._features[path, k], case.setting["inverse_penalty"])
        else:
            steps = self.steps(path)
            training = CnnTraining(
                steps=steps,
                batch=BATCH,
                score_every=max(steps // SCORES, 1),
                patience=PATIENCE,
                learning_rate=case.setting["learning_rate"],
                metric=task.metric,
                either_strand=task.either_strand,
                seed=case.seed,
            )
            found = CnnRun(table, training, self.device).run()
        return {split: {name: found[split][name] for name in METRICS} for split in SPLITS[1:]}

    def _fine_tuned(self, case: Case, table: Path, name: str) -> dict[str, dict[str, float | None]]:
        task, steps = TASKS[case.task], self.steps(table)
        start = {"checkpoint": str(self.arguments.model)} if case.model == PRETRAINED else {}
        shape = {} if start else {"model": self.shape}
        sections = {
            "run_directory": str(self.arguments.place / "runs" / name),
            "seed": case.seed,
            "task": {"name": case.task, "kind": task.kind, "metric": task.metric},
            "data": {"train": str(table), "reverse_complement": task.either_strand},
            "start": start,
            **shape,
            "batch": {"examples_per_step": BATCH},
            "stages": [{"steps": steps, "micro_batch": BATCH}],
            "optimizer": {"learning_rate": case.setting["learning_rate"], "warmup_fraction": 0.05},
            "engine": {"zero_stage": 0},
            "scoring": {
                "every_steps": max(steps // SCORES, 1),
                "patience": PATIENCE,
                "bootstrap": 0,
                "average_strands": task.either_strand,
            },
            "checkpoint": {"every_steps": steps},
            "logging": {"every_steps": steps, "tensorboard": False},
        }
        _, results = fine_tune_here(task_config(sections, {}))
        scores = results["scores"]
        return {split: {name: scores[split][name]["value"] for name in METRICS} for split in SPLITS[1:]}

    def run_whole(self) -> dict[str, Setting]:
        """Choose the setting of every model, and run all seeds with it on the whole training set."""
        settings = {}
        for model, grid in GRIDS.items():
            tried = [self.run(Case(self.task, model, SEEDS[0], None, setting)) for setting in grid]
            settings[model] = chosen(tried, TASKS[self.task].metric)
            for seed in SEEDS[1:]:
                self.run(Case(self.task, model, seed, None, settings[model]))
        return settings

    def run_parts(self) -> None:
        """The same settings on parts of the training set."""
        settings = self.run_whole()
        for size in SIZES:
            for model, setting in settings.items():
                for seed in SEEDS:
                    self.run(Case(self.task, model, seed, size, setting))


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
    parser.add_argument("--minutes", type=float, default=7.5, help="after which no further run begins")
    parser.add_argument("--epochs", type=int, default=15, help="at most (%(default)s)")
    parser.add_argument("--least-steps", type=int, default=300, help="of small training sets (%(default)s)")
    parser.add_argument("--limit", type=int, help="examples of each split, to try the script")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON and PNG go")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    arguments = parser.parse_args()
    unknown = set(arguments.tasks.split(",")) - set(TASKS)
    if unknown:
        parser.error(f"--tasks {','.join(sorted(unknown))} is none of {','.join(TASKS)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    deadline = time.monotonic() + 60 * arguments.minutes
    benches = [Bench(arguments, task, deadline) for task in arguments.tasks.split(",")]
    code = EXIT_DONE
    try:
        for bench in benches:
            bench.run_whole()
        for bench in benches:
            bench.run_parts()
    except (OutOfTime, StoppedError):
        print("out of time: give the same command again to go on")
        code = EXIT_RESTART
    kept = [read_kept(arguments.output / f"downstream_{task}.json") for task in TASKS]
    summary = summarise([row for one in kept if one for row in one["rows"]], SEEDS)
    if summary:
        plot_bars(summary, arguments.output / "downstream.png")
        plot_curves(summary, arguments.output / "downstream_curve.png")
        print_summary(summary)
    return code


if __name__ == "__main__":
    run_command(main)
