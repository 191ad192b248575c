"""What a parameter's name tells: its optimizer group, and the counts that the papers print."""

from torch import Tensor, nn


def is_filter_parameter(name: str) -> bool:
    """Whether `name` belongs to the implicit filter's MLP, which trains without weight decay."""
    return ".implicit_filter." in name


def is_table(name: str) -> bool:
    """Whether `name` is a fixed table of a layer: positional features or decay rates."""
    return name.endswith((".pos_emb.z", ".pos_emb.t", ".modulation.deltas"))


def carried_tables(model: nn.Module) -> dict[str, Tensor]:
    """The tables of a model whose layers own one each, as imported weights bring them; else none.

    They are copied: the names are those of the published checkpoints, the tensors fp32 on the CPU.
    """
    unique = {name for name, _ in model.named_buffers()}
    every = dict(model.named_buffers(remove_duplicate=False))
    if len(every) != len(unique) or not any(".layers." in name for name in every):
        return {}
    return {name: buffer.detach().float().cpu().clone() for name, buffer in every.items() if is_table(name)}


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters, each tensor once however many names it has."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
