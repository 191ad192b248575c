"""What a variant does to the likelihood of the sequence around it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hyena_ds.errors import InputError
from hyena_ds.inference.batches import Windowing
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.genome_access import Genome
from hyena_ds.inference.jobs import Job
from hyena_ds.inference.measure import Advance, measured_rows, table_of
from hyena_ds.inference.measurements import Likelihood
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

    def compute(part: Sequence[VariantWindow], advance: Advance) -> pa.Table:
        return table_of(list(effects(part, likelihood, model, advance)), SCHEMA)

    return Job(
        title="variants",
        items=windows,
        bases=bases,
        compute=compute,
        schema=SCHEMA,
        main="effect",
        settings={"measure": "variant effect", "window": chosen, **likelihood.settings, **model_settings(model)},
    )


def effects(
    windows: Sequence[VariantWindow], likelihood: Likelihood, model: FrozenModel, advance: Advance
) -> Iterator[dict[str, Any]]:
    """A row for each alternative: log-likelihood of its haplotype less that of the reference's, in nats."""
    haplotypes = [haplotype for window in windows for haplotype in window.haplotypes]
    scores = iter(measured_rows(haplotypes, likelihood, model, Windowing(model.config.l_max), advance))
    for window in windows:
        found = {allele: next(scores) for allele in window.variant.alleles}
        for alternative in window.variant.alternatives:
            yield _row(window, alternative, found[window.variant.reference], found.get(alternative))


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
