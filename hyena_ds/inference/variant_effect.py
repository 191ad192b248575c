"""What a variant does to the likelihood of the sequence around it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from hyena_ds.errors import InputError
from hyena_ds.inference.batches import Windowing
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.genome_access import Genome
from hyena_ds.inference.jobs import Job, MakeTable
from hyena_ds.inference.measure import Advance, Measured, measured, table_of
from hyena_ds.inference.measurements import Likelihood
from hyena_ds.inference.overlap import paired
from hyena_ds.inference.sequence_job import model_settings
from hyena_ds.inference.variants import VariantWindow, VariantWindows

DEFAULT_WINDOW = 1024
SCHEMA = pa.schema(
    [
        ("chromosome", pa.string()),
        ("position", pa.int64()),
        ("id", pa.string()),
        ("reference", pa.string()),
        ("alternative", pa.string()),
        ("window_bases", pa.int64()),
        ("log_likelihood_reference", pa.float64()),
        ("log_likelihood_alternative", pa.float64()),
        ("effect", pa.float64()),
        ("effect_per_base", pa.float64()),
        ("note", pa.string()),
    ]
)


def variant_job(
    model: FrozenModel,
    genome: Genome,
    vcf: Path,
    *,
    window: int | None,
    both_strands: bool,
) -> Job[VariantWindow]:
    """The job of scoring every allele of a VCF file; all records are checked against the genome before any work."""
    l_max = model.config.l_max
    chosen = min(DEFAULT_WINDOW, l_max) if window is None else window
    if not 2 <= chosen <= l_max:
        raise InputError(f"a window of {chosen:,} bases does not lie between 2 and the model's l_max, {l_max:,}")
    windows = VariantWindows(vcf, genome, chosen)
    bases = sum(map(len, windows))
    if not bases:
        raise InputError(f"{vcf} holds no record with an alternative; give one with variants")
    likelihood = Likelihood(model, 2 if both_strands else 1)

    def measure(parts: Iterable[Sequence[VariantWindow]], advance: Advance) -> Iterator[Measured]:
        haplotypes = ([haplotype for window in part for haplotype in window.haplotypes] for part in parts)
        return measured(haplotypes, likelihood, model, Windowing(l_max), advance)

    def compute(parts: Iterable[Sequence[VariantWindow]], advance: Advance) -> Iterator[MakeTable]:
        for part, found in paired(parts, lambda parts: measure(parts, advance)):
            yield partial(effects, part, found)

    return Job(
        title="variants",
        items=windows,
        bases=bases,
        compute=compute,
        schema=SCHEMA,
        main="effect",
        tokens_per_batch=model.tokens_per_batch,
        settings={"measure": "variant effect", "window": chosen, **likelihood.settings, **model_settings(model)},
    )


def effects(windows: Sequence[VariantWindow], haplotypes: Measured) -> pa.Table:
    """A row for each alternative: log-likelihood of its haplotype less that of the reference's, in nats."""
    scores, rows = iter(haplotypes.rows), []
    for window in windows:
        found = {allele: next(scores) for allele in window.variant.alleles}
        for alternative in window.variant.alternatives:
            rows.append(_row(window, alternative, found[window.variant.reference], found.get(alternative)))
    return table_of({name: [row[name] for row in rows] for name in SCHEMA.names}, SCHEMA)


def _row(
    window: VariantWindow, alternative: str, reference: dict[str, Any], changed: dict[str, Any] | None
) -> dict[str, Any]:
    total, mean = "log_likelihood", "log_likelihood_per_base"
    after = changed or {total: math.nan, mean: math.nan}
    variant = window.variant
    return {
        "chromosome": variant.interval.sequence,
        "position": variant.interval.start + 1,
        "id": variant.identifier,
        "reference": variant.reference,
        "alternative": alternative,
        "window_bases": len(window.haplotypes[0]),
        "log_likelihood_reference": reference[total],
        "log_likelihood_alternative": after[total],
        "effect": after[total] - reference[total],
        "effect_per_base": after[mean] - reference[mean],
        "note": "" if changed else "not scored: the allele is not written in bases",
    }
