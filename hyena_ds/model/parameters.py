"""What a parameter's name tells: its optimizer group, and the counts that the papers print."""

from torch import nn


def is_filter_parameter(name: str) -> bool:
    """Whether `name` belongs to the implicit filter's MLP, which trains without weight decay."""
    return ".implicit_filter." in name


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters, each tensor once however many names it has."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
