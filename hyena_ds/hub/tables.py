"""What tensors a model has, and the fixed tables computed from its config."""

import torch
from torch import Tensor

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.filter import ExponentialModulation, PositionalFeatures
from hyena_ds.model.language_model import HyenaLanguageModel


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter and table of a model, each under its one name; nothing is allocated."""
    with torch.device("meta"):
        model = HyenaLanguageModel(config, share_tables=False)
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {name: tuple(tensor.shape) for name, tensor in tensors}


def computed_tables(config: ModelConfig) -> dict[str, Tensor]:
    """`z`, `t` and `deltas` of every layer by their formulas; the layers share one copy in memory."""
    features = PositionalFeatures(config.l_max, config.emb_dim)
    modulation = ExponentialModulation(config.d_model * (config.order - 1), config.filter_shift)
    tables = {"pos_emb.z": features.z, "pos_emb.t": features.t, "modulation.deltas": modulation.deltas}
    return {
        f"backbone.layers.{layer}.mixer.filter_fn.{name}": table
        for layer in range(config.n_layer)
        for name, table in tables.items()
    }
