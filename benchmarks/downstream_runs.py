"""One run of benchmarks/downstream.py: a model with its settings, trained and scored on a table of examples."""

import os
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch

from benchmarks.baselines import CnnRun, CnnTraining, Table, kmer_features, kmer_regression
from benchmarks.downstream_tasks import TASKS, BenchmarkTask
from hyena_ds.downstream.call import fine_tune_here, task_config
from hyena_ds.downstream.split import SPLITS

MODELS = PRETRAINED, SCRATCH, CNN, KMERS = "pretrained", "scratch", "CNN", "k-mers"
Setting = dict[str, float]
SplitScores = dict[str, dict[str, float | None]]
BATCH = 128
SCORES, PATIENCE = 20, 10  # scores in a whole run, and those without a better one that end it
METRICS = ("accuracy", "mcc", "auroc")


def settings_of(model: str, task: BenchmarkTask) -> list[Setting]:
    """What is tried; 0-mers are the class of length alone."""
    if model == KMERS:
        return [{"k": k, "inverse_penalty": penalty} for k in (0, 4, 5, 6) for penalty in (1e-4, 1e-3, 1e-2, 0.1)]
    return [{"learning_rate": rate, "dropout": dropout} for rate in task.rates for dropout in task.dropouts]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Run:
    """A case on the examples of `table`: a network trains for `steps` at most.

    Fine-tuning starts from `model`, or from scratch with its `shape`, and leaves its run in `directory`.
    """

    case: Case
    table: Path
    steps: int
    directory: Path
    model: Path
    shape: dict[str, Any]

    def scores(self) -> SplitScores:
        """Valid and test scores by metric."""
        task = TASKS[self.case.task]
        if self.case.model in (PRETRAINED, SCRATCH):
            return self._fine_tuned()
        table = Table.read(self.table, task.kind)
        if self.case.model == KMERS:
            features = kmer_features(table, int(self.case.setting["k"]), both_strands=task.either_strand)
            found = kmer_regression(table, features, self.case.setting["inverse_penalty"])
        else:
            training = CnnTraining(
                steps=self.steps,
                batch=BATCH,
                score_every=max(self.steps // SCORES, 1),
                patience=PATIENCE,
                learning_rate=self.case.setting["learning_rate"],
                metric=task.metric,
                either_strand=task.either_strand,
                dropout=self.case.setting["dropout"],
                average_weights=task.average_weights,
                cutout=task.cutout,
                seed=self.case.seed,
            )
            found = CnnRun(table, training, torch.device("cuda" if torch.cuda.is_available() else "cpu")).run()
        return {split: {name: found[split][name] for name in METRICS} for split in SPLITS[1:]}

    def _fine_tuned(self) -> SplitScores:
        case, task = self.case, TASKS[self.case.task]
        dropouts = {} if task.resid_dropout is None else {"resid_dropout": task.resid_dropout}
        pretrained = case.model == PRETRAINED
        start = {"checkpoint": str(self.model), **dropouts} if pretrained else {}
        shape = {} if pretrained else {"model": self.shape | dropouts}
        sections = {
            "run_directory": str(self.directory),
            "seed": case.seed,
            "task": {"name": case.task, "kind": task.kind, "metric": task.metric},
            "data": {"train": str(self.table), "reverse_complement": task.either_strand},
            "decoder": {"parts": task.parts, "dropout": case.setting["dropout"]},
            "start": start,
            **shape,
            "language_loss": task.language_loss,
            "cutout": task.cutout,
            "batch": {"examples_per_step": BATCH},
            "stages": [{"steps": self.steps, "micro_batch": BATCH}],
            "optimizer": {"learning_rate": case.setting["learning_rate"], "warmup_fraction": 0.05},
            "engine": {"zero_stage": 0},
            "scoring": {
                "every_steps": max(self.steps // SCORES, 1),
                "patience": PATIENCE,
                "bootstrap": 0,
                "average_strands": task.either_strand,
                "average_weights": task.average_weights,
            },
            "checkpoint": {"every_steps": self.steps},
            "logging": {"every_steps": self.steps, "tensorboard": False},
        }
        _, results = fine_tune_here(task_config(sections, {}))
        scores = results["scores"]
        return {split: {name: scores[split][name]["value"] for name in METRICS} for split in SPLITS[1:]}


def begin_worker(gpus: "Queue[str]", logs: Path) -> None:
    """Make this process one that runs cases: on the GPU that it takes from `gpus`, with its output in `logs`."""
    logs.mkdir(parents=True, exist_ok=True)
    log = os.open(logs / f"{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus.get()


def timed_scores(run: Run, deadline: float) -> tuple[SplitScores, float] | None:
    """The scores of a run, and the seconds that it took; None where it would begin after `deadline` (`time.time`)."""
    started = time.time()
    return None if started > deadline else (run.scores(), round(time.time() - started, 1))
