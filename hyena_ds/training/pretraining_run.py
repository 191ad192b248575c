"""Pretraining as a run: windows of genomes, the next base, perplexity."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hyena_ds.data.batch import BatchReader, WindowReader
from hyena_ds.data.loader import StepBatch, StepLoader
from hyena_ds.data.windows import validation_windows
from hyena_ds.engine.checkpoint import load_optimizer, load_parameters
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.flops import training_flops
from hyena_ds.model.parameters import carried_tables, is_table
from hyena_ds.model.sequence import SequencePart
from hyena_ds.parallel.heartbeat import Heartbeat
from hyena_ds.training.build import build_engine, build_model, sequence_part
from hyena_ds.training.check import CheckedRun
from hyena_ds.training.loss import token_loss_sum
from hyena_ds.training.resume import CHECKPOINTS_NAME, find_checkpoint
from hyena_ds.training.run import Run
from hyena_ds.training.stages import Stage
from hyena_ds.training.validation import report, score_windows


@dataclass(frozen=True)
class MicroBatch:
    """uint8 tokens [B, L + 1] on the host and the global numbers of their samples [B]."""

    tokens: Tensor
    samples: Tensor


class PretrainingRun(Run):
    """Learns the next base of the windows of a shard directory."""

    def __init__(
        self,
        checked: CheckedRun,
        engine: TrainingEngine,
        sequence: SequencePart,
        heartbeat: Heartbeat,
        *,
        step: int,
        progress: dict[str, Any],
        tables: dict[str, Tensor],
    ) -> None:
        super().__init__(checked, engine, sequence, heartbeat, step=step, progress=progress, fixed=tables)
        self.checked, self.config = checked, checked.config

    def load(self, stage: Stage, done: int) -> StepLoader:
        checked = self.checked
        return StepLoader(
            BatchReader(checked.shards, checked.stream(stage)),
            checked.step_plan(stage),
            rank=checked.dimensions.data_rank(self.environment.rank),
            steps=stage.steps,
            first_step=done,
            ignore_n=self.config.data.ignore_n,
        )

    def micro_batches(self, batch: StepBatch) -> list[MicroBatch]:
        return [
            MicroBatch(torch.from_numpy(part), torch.from_numpy(numbers))
            for part, numbers in zip(batch.micro_batches, batch.samples, strict=True)
        ]

    def loss(self, module: nn.Module, micro_batch: MicroBatch, step: int) -> Tensor:
        device = self.engine.device
        tokens = micro_batch.tokens.to(device, non_blocking=True)
        keys = dropout_keys(self.config.seed, step, micro_batch.samples.to(device))
        return token_loss_sum(module, tokens, self.sequence, ignore_n=self.config.data.ignore_n, dropout_keys=keys)

    def describe(self, stage: Stage, loss: float, seconds: float) -> dict[str, Any]:
        flops = training_flops(self.config.model, stage.length, stage.samples)
        peak = self.engine.peak_flops
        return {
            "perplexity": math.exp(min(loss, 100.0)),
            "mfu": flops / seconds / (peak * self.environment.world_size) if peak else None,
        }

    def stage_summary(self, stage: Stage) -> str:
        return f"stage {stage.number}: {stage.steps:,} steps of {stage.samples:,} windows of {stage.length:,} bases"

    def epoch(self, stage: Stage, sample: int) -> int:
        return self.checked.stream(stage).epoch(sample)

    def validation_due(self) -> bool:
        return self.config.validation.windows > 0 and self.due(self.config.validation.every_steps)

    def validate(self) -> None:
        """Score the fixed windows of every species."""
        self.heartbeat.phase = f"validating after step {self.step}"
        config, last = self.config, self.schedule.stages[-1]
        length = config.validation_length
        batch = max(last.micro_batch * last.length // length, 1)
        found = validation_windows(self.checked.index, config.validation.split, length, config.validation.windows)
        scores = {
            species: score_windows(
                self.engine.evaluate,
                WindowReader(self.checked.shards),
                windows,
                chosen,
                data_parallel_size=self.checked.dimensions.data_parallel_size,
                data_rank=self.checked.dimensions.data_rank(self.environment.rank),
                sequence=self.sequence,
                batch=batch,
                device=self.engine.device,
            )
            for species, (windows, chosen) in found.items()
        }
        line = report(self.step, scores)
        self.write(line)
        self.progress.say(
            f"validation at step {self.step:,}: perplexity {line['validation_perplexity']:.4f}, "
            f"{line['bits_per_base']:.4f} bits a base on {line['windows']:,} windows of {length:,} bases"
        )

    def finish(self) -> None:
        """Say what can be done with the finished run."""
        directory = self.checked.directory
        self.progress.say(
            f"done: {self.step:,} steps, {self.tokens:,} bases. Next: "
            f"python launch/export.py --checkpoint {directory} --output hf/{directory.name}"
        )


def open_run(checked: CheckedRun, device: torch.device, heartbeat: Heartbeat) -> PretrainingRun:
    """Build the model and, where the run directory holds a checkpoint, go on from it."""
    resumed = find_checkpoint(checked, checked.config.model)
    sequence = sequence_part(checked.dimensions, checked.environment.rank)
    share_tables = resumed is None or not any(is_table(name) for name in resumed.parameters)
    model = build_model(checked.config, sequence, share_tables=share_tables)
    if resumed is not None:
        load_parameters(model, resumed.parameters, checked.directory / CHECKPOINTS_NAME)
    tables = carried_tables(model)
    engine = build_engine(model, checked.config, checked.schedule.total_steps, device)
    if resumed is not None:
        load_optimizer(engine, resumed)
    step, progress = (resumed.step, resumed.progress) if resumed is not None else (0, {})
    return PretrainingRun(checked, engine, sequence, heartbeat, step=step, progress=progress, tables=tables)
