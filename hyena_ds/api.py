"""`from hyena_ds import HyenaDNA`: a pretrained model, and what one does with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hyena_ds.downstream.prediction import Prediction
from hyena_ds.downstream.task import Method
from hyena_ds.errors import InputError
from hyena_ds.genome.fasta import bare_name
from hyena_ds.genome.interval import Interval
from hyena_ds.hub.open_model import open_model
from hyena_ds.hub.task_head import TaskHead, TaskKind
from hyena_ds.inference.evaluation import Evaluation, evaluate
from hyena_ds.inference.frozen import FrozenModel, Precision
from hyena_ds.inference.generation import Generated, Sampling, generate_all
from hyena_ds.inference.genome_access import open_genome
from hyena_ds.inference.jobs import Delivery, Results
from hyena_ds.inference.measurements import Embedding, Likelihood, Logits, Measurement
from hyena_ds.inference.pooling import Pooling
from hyena_ds.inference.sequence_job import Reading, sequence_job
from hyena_ds.inference.sequences import Sequences, UnknownCharacters
from hyena_ds.inference.variant_effect import variant_job
from hyena_ds.model.decoder import DecoderMode


class HyenaDNA:
    """A HyenaDNA language model, ready for use.

    Every method that takes `sequences` takes one, any iterable of them, a pandas Series or DataFrame, or the path of a
    FASTA, CSV, TSV or Parquet file (gzip too), of any mixture of lengths. Lower case is read as bases, ambiguity
    codes as N. Errors of what was given are `hyena_ds.errors.InputError`, before any work is done.

    `source` is where the weights came from, `notes` what the user should know of them; `head` that of a fine-tuned
    model, `results` the content of its results.json where `fine_tune` has just trained it.
    """

    def __init__(
        self, frozen: FrozenModel, source: str, notes: tuple[str, ...] = (), head: TaskHead | None = None
    ) -> None:
        self.frozen = frozen
        self.source = source
        self.notes = notes
        self.head = head
        self.results: dict[str, Any] | None = None

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str | None = None,
        precision: Precision = "fp32",
        tokens_per_batch: int | None = None,
        filter_shift: float | None = None,
    ) -> "HyenaDNA":
        """Open a run directory, an export, a published directory or `.ckpt`, or a Hugging Face hub id.

        Args:
            source: where the weights are.
            device: `cuda`, `cuda:1`, `cpu`; by default a GPU where there is one.
            precision: `bf16` halves memory and time on a GPU; residual stream, filter and logits stay fp32.
            tokens_per_batch: padding included; by default 2^13 on a CPU, on a GPU the power of two that fills at most a
                quarter of its memory, at most 2^20.
            filter_shift: of original weights, whose config does not say it (0.05).
        """
        opened = open_model(source, filter_shift=filter_shift)
        frozen = FrozenModel.on(opened.model, device, precision, tokens_per_batch)
        return cls(frozen, opened.source, opened.notes, opened.head)

    @property
    def l_max(self) -> int:
        """The longest sequence, in bases, that is read whole."""
        return self.frozen.config.l_max

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of what a fine-tuned model predicts, in the order of its outputs; of another model none."""
        return self.head.classes if self.head is not None else ()

    def embed(
        self,
        sequences: Sequences,
        *,
        pooling: Pooling = "mean",
        window: int | None = None,
        overlap: int | None = None,
        unknown: UnknownCharacters = "refuse",
        column: str | None = None,
        output: str | Path = "numpy",
        overwrite: bool = False,
        part_bases: int | None = None,
        progress: bool = False,
    ) -> Results:
        """One vector a sequence, or with pooling `none` one a base: the model's last hidden states.

        Args:
            sequences: see the class.
            pooling: `mean`, `sum`, `max`, `first`, `last` over all bases ([UNK] does not count), or `none`.
            window: read sequences in windows of so many bases; by default whole, up to `l_max`.
            overlap: bases that a window shares with the one before it, half a window by default; each base is taken
                from the window that shows it `overlap` bases before it.
            unknown: `refuse` characters that are no nucleotide code, or `mark` them, read as [UNK].
            column: of a table, the one that holds the sequences.
            output: `numpy` ([n, D], or a list of [L, D]), `pandas`, or a file ending in .parquet, .h5 or .jsonl. A
                file is written in parts, so that the same call goes on after a kill.
            overwrite: replace the file.
            part_bases: of a part of the file; by default 2^23, or what 64 batches hold.
            progress: show a bar.
        """
        reading = Reading(column, window, overlap, unknown)
        measurement = Embedding(self.frozen, pooling)
        return self._measure(
            "embed", measurement, sequences, reading, Delivery.of(output, overwrite, part_bases, progress)
        )

    def logits(
        self,
        sequences: Sequences,
        *,
        window: int | None = None,
        overlap: int | None = None,
        unknown: UnknownCharacters = "refuse",
        column: str | None = None,
        output: str | Path = "numpy",
        overwrite: bool = False,
        part_bases: int | None = None,
        progress: bool = False,
    ) -> Results:
        """Logits [L, 16] of each sequence, of the base after each position; rows as in `genome.alphabet.TOKEN_IDS`.

        Rows 12 to 15 are padding of the published vocabulary. The arguments are those of `embed`.
        """
        reading = Reading(column, window, overlap, unknown)
        return self._measure(
            "logits", Logits(self.frozen), sequences, reading, Delivery.of(output, overwrite, part_bases, progress)
        )

    def score(
        self,
        sequences: Sequences,
        *,
        both_strands: bool = False,
        per_base: bool = False,
        window: int | None = None,
        overlap: int | None = None,
        unknown: UnknownCharacters = "refuse",
        column: str | None = None,
        output: str | Path = "pandas",
        overwrite: bool = False,
        part_bases: int | None = None,
        progress: bool = False,
    ) -> Results:
        """The log-likelihood of each sequence in nats, over all 16 rows of the vocabulary as in pretraining.

        A, C, G and T are scored; the first base, which has nothing before it, and unknown ones are not.

        Args:
            sequences: see the class; the arguments not named here are those of `embed`.
            both_strands: score the reverse complement, too; `log_likelihood` is then the mean of the two.
            per_base: also the log-likelihood of each base, NaN where it is not scored, as `forward` and, read from
                the right, `reverse`.
            output: `pandas`, `numpy` (the log-likelihoods [n], or with `per_base` a list of `forward` [L]) or a file.
        """
        reading = Reading(column, window, overlap, unknown)
        measurement = Likelihood(self.frozen, 2 if both_strands else 1, per_base)
        return self._measure(
            "score", measurement, sequences, reading, Delivery.of(output, overwrite, part_bases, progress)
        )

    def generate(
        self,
        prompt: Sequences,
        bases: int,
        *,
        samples: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        column: str | None = None,
        progress: bool = False,
    ) -> list[Generated]:
        """Draw `bases` bases behind each prompt; time grows as n log² n, since no prefix is computed twice.

        Args:
            prompt: one or many, as `sequences` elsewhere; each at least one base long.
            bases: to draw; with the prompt at most `l_max`.
            samples: continuations of each prompt, drawn side by side.
            temperature: 0 takes the likeliest base; above 1 is bolder than the model, below 1 more cautious.
            top_k: draw of the k likeliest bases only.
            top_p: draw of the likeliest bases that together reach this probability.
            seed: the same seed, prompt and settings give the same bases.
            column: of a table, the one that holds the prompts.
            progress: show a bar.
        """
        sampling = Sampling(temperature, top_k, top_p)
        return generate_all(
            self.frozen, prompt, bases, sampling, samples=samples, seed=seed, column=column, progress=progress
        )

    def variant_effect(
        self,
        fasta: str | Path,
        vcf: str | Path,
        *,
        window: int | None = None,
        both_strands: bool = False,
        cache: Path | None = None,
        output: str | Path = "pandas",
        overwrite: bool = False,
        part_bases: int | None = None,
        progress: bool = False,
    ) -> Results:
        """Log-likelihood of each alternative's haplotype less that of the reference's, in nats: below 0 is less likely.

        Haplotypes are a window of the genome around the record, with the allele in it and the same bases on both
        sides; insertions and deletions change their length, which `effect_per_base` divides by. Alleles that are not
        written in bases get NaN and a note. A reference that disagrees with the FASTA is an error.

        Args:
            fasta: the genome, plain or gzip.
            vcf: VCF (gzip too) or BCF; needs the extra `vcf`.
            window: bases of the longest haplotype, by default 1,024 or `l_max`.
            both_strands: average over both.
            cache: where the index of the genome, and its plain copy, are kept for the next call.
            output: `pandas`, `numpy` (the effects) or a file, as in `embed`.
            overwrite: replace the file.
            part_bases: of a part of the file; by default 2^23, or what 64 batches hold.
            progress: show a bar.
        """
        delivery = Delivery.of(output, overwrite, part_bases, progress)
        with open_genome(Path(fasta), cache, progress=progress) as genome:
            return delivery.run(variant_job(self.frozen, genome, Path(vcf), window=window, both_strands=both_strands))

    def evaluate(
        self,
        fasta: str | Path | Mapping[str, str | Path],
        *,
        regions: str | Path | Sequence[Interval] | None = None,
        length: int | None = None,
        windows: int | None = None,
        cache: Path | None = None,
        progress: bool = False,
    ) -> Evaluation:
        """Perplexity on windows of genomes: in all, by bases of context, species, soft-masking and GC class.

        Windows lie side by side over the regions, the last of each is short. A, C, G and T with a base before them in
        their window are counted, over all 16 rows of the vocabulary, as validation does. The result has `table()`.

        Args:
            fasta: a genome, plain or gzip, or one for each species.
            regions: `published` (the chr14 and chrX regions of GRCh38 of the published perplexities), a BED file (its
                test split, if it names splits), intervals; by default whole sequences.
            length: bases of a window, by default `l_max` less two: the length that the model was trained for.
            windows: of each species at most so many, evenly spaced; by default all.
            cache: where the index of a genome, and its plain copy, are kept for the next call.
            progress: show a bar.
        """
        genomes = fasta if isinstance(fasta, Mapping) else {bare_name(Path(fasta)): fasta}
        paths = {species: Path(path) for species, path in genomes.items()}
        return evaluate(
            self.frozen, paths, regions=regions, length=length, windows=windows, cache=cache, progress=progress
        )

    def fine_tune(
        self,
        data: str | Path | pd.DataFrame,
        output: str | Path,
        *,
        kind: TaskKind = "binary",
        method: Method = "full",
        decoder: DecoderMode | None = None,
        epochs: float = 10,
        examples_per_step: int = 16,
        learning_rate: float = 6e-4,
        seed: int = 2222,
        settings: Mapping[str, Any] | None = None,
    ) -> "HyenaDNA":
        """Teach a copy of this model a task, as `launch/finetune.py` does; returns the model of the best step.

        What is returned has `predict`, `classes` and `results`; of several seeds or folds it is the run with the best
        validation score. `output` then holds tables, plots and an export. The same call goes on with a run that was
        stopped, and opens one that is finished. It trains in this process, on a GPU where there is one.

        Args:
            data: labelled sequences: a DataFrame or a table (CSV, TSV, Parquet, a Hugging Face dataset directory) with
                the columns `sequence` and `label`, FASTA, a folder a class, or BED. A DataFrame is kept in `output`.
            output: the run directory.
            kind: `binary`, `multiclass`, `multilabel`, `regression`, or `position` for one class a base.
            method: `full`, `frozen` (the head alone), or `probe` (the same on embeddings computed once).
            decoder: `pool` by default, `sum`, `first`, `last`; or `position`.
            epochs: passes over the training set.
            examples_per_step: of one optimizer step.
            learning_rate: at its peak.
            seed: of the head, the order and dropout.
            settings: any other value of the run's config by its dotted path, such as `{"split.test": 0.2, "seeds":
                [1, 2, 3], "split.folds": 5, "data.label": "class"}`; see docs/fine-tuning.md.
        """
        from hyena_ds.downstream.call import examples_path, fine_tune_here, task_config  # noqa: PLC0415 - DeepSpeed

        directory = Path(output)
        sections = {
            "run_directory": str(directory),
            "seed": seed,
            "task": {"name": directory.name, "kind": kind},
            "data": {"train": str(examples_path(data, directory))},
            "start": {"checkpoint": self.source, "filter_shift": self.frozen.config.filter_shift},
            "method": method,
            "decoder": {"mode": decoder or ("position" if kind == "position" else "pool")},
            "batch": {"examples_per_step": examples_per_step},
            "stages": [{"epochs": epochs, "micro_batch": examples_per_step}],
            "optimizer": {"learning_rate": learning_rate},
        }
        run, results = fine_tune_here(task_config(sections, settings or {}))
        trained = HyenaDNA.from_pretrained(
            run,
            device=str(self.frozen.device),
            precision=self.frozen.precision,
            tokens_per_batch=self.frozen.tokens_per_batch,
        )
        trained.results = results
        return trained

    def predict(
        self,
        sequences: Sequences,
        *,
        both_strands: bool = False,
        unknown: UnknownCharacters = "refuse",
        column: str | None = None,
        output: str | Path = "pandas",
        overwrite: bool = False,
        part_bases: int | None = None,
        progress: bool = False,
    ) -> Results:
        """What a fine-tuned model says of each sequence: its likeliest class and all probabilities, or values.

        Args:
            sequences: see the class; the arguments not named here are those of `embed`.
            both_strands: average the outputs of the sequence and its reverse complement.
            output: `pandas`, with the columns `prediction` (a class; a list of labels, or of one class a position) and
                `probabilities` in the order of `classes`, or `values` for regression; `numpy`, only the
                probabilities or values ([n, C], or a list of [L, C]); or a file.

        Raises InputError where the model carries no head.
        """
        if self.head is None:
            raise InputError(f"{self.source} carries no head of a task; fine-tune it with fine_tune or its command")
        prediction = Prediction.of(self.frozen, self.head, 2 if both_strands else 1)
        reading = Reading(column, unknown=unknown)
        delivery = Delivery.of(output, overwrite, part_bases, progress)
        return self._measure("predict", prediction, sequences, reading, delivery)

    def _measure(
        self, title: str, measurement: Measurement, sequences: Any, reading: Reading, delivery: Delivery
    ) -> Results:
        return delivery.run(sequence_job(title, self.frozen, measurement, sequences, reading))
