"""The `data` section of a run's config."""

from pydantic import field_validator

from hyena_ds.config.section import Section


class DataConfig(Section):
    """Which windows train, and how often each species.

    `directory` is a shard directory. `reverse_complement` reads each window from a strand drawn anew every epoch
    (the published recipe reads the forward strand only: set it to False for that). `ignore_n` leaves N targets out
    of the loss. `species_weights` gives each species its share of the samples, whatever its size; each then keeps
    its own epoch. Without it the windows of all species form one pool.
    """

    directory: str
    reverse_complement: bool = True
    ignore_n: bool = True
    species_weights: dict[str, float] | None = None

    @field_validator("species_weights")
    @classmethod
    def _weights_are_positive(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        if weights is not None and not weights:
            raise ValueError("no species is named; name each with its share, or leave species_weights out")
        for species, weight in (weights or {}).items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"the weight of {species} must be a finite number above 0")
        return weights
