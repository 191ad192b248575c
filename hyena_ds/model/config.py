"""The shape of a HyenaDNA model."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class ModelConfig:
    """Everything that a model's parameters and outputs depend on, under the names of the paper's code.

    `l_max` is the longest input in tokens: the longest window's bases + 2 in the published models. The implicit
    filter is a function of n / l_max, so `l_max` belongs to the weights and never changes with the batch.
    """

    # Read by pydantic where this class is a section of a run's config.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    d_model: int
    n_layer: int
    l_max: int
    d_inner: int | None = None
    order: int = 2
    filter_order: int = 64
    emb_dim: int = 5
    short_filter_order: int = 3
    activation_freq: float = 10.0
    num_inner_mlps: int = 2
    filter_shift: float = 0.05
    embed_dropout: float = 0.1
    resid_dropout: float = 0.0
    hyena_dropout: float = 0.0
    bidirectional: bool = False
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        for name in ("d_model", "n_layer", "filter_order", "short_filter_order"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.l_max < 2:
            raise ValueError(f"l_max={self.l_max} must be at least 2")
        if self.order < 2:
            raise ValueError(f"order={self.order} must be at least 2")
        if self.emb_dim < 3 or self.emb_dim % 2 == 0:
            raise ValueError(f"emb_dim={self.emb_dim} must be odd and at least 3: time, then cosine and sine a band")
        for name in ("embed_dropout", "resid_dropout", "hyena_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}={getattr(self, name)} must be in [0, 1)")

    @property
    def inner_width(self) -> int:
        """The width of the MLP between its two layers."""
        return self.d_inner or 4 * self.d_model
