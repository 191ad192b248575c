"""The plain models compute what they are named after, and the check of it can fail."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.plain_models import PlainModel, plain_hyena, transformer
from benchmarks.plain_training import PlainTrainer, check_causal, random_bases
from hyena_ds.engine.config import OptimizerConfig
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

CONFIG = ModelConfig(d_model=64, n_layer=2, l_max=102, embed_dropout=0.0)
CPU = torch.device("cpu")


def gradients(nats: Tensor, model: nn.Module) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(nats, parameters), strict=True))


def test_the_plain_hyena_has_our_loss_and_gradients() -> None:
    torch.manual_seed(0)
    ours, plain = HyenaLanguageModel(CONFIG), plain_hyena(CONFIG)
    plain.load_state_dict(ours.state_dict())
    tokens = random_bases(2, 100).long()
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    expected = ours(inputs, targets=targets).mean()
    found = functional.cross_entropy(plain(inputs).flatten(0, 1), targets.flatten())
    torch.testing.assert_close(found, expected)
    wanted = gradients(expected, ours)
    for name, gradient in gradients(found, plain).items():
        assert (gradient - wanted[name]).norm() <= 1e-4 * wanted[name].norm(), name


def trainer(model: PlainModel) -> PlainTrainer:
    return PlainTrainer(model, OptimizerConfig(), CPU, bf16=False)


def test_the_transformer_is_causal_and_of_our_size() -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, d_model=128)
    model = transformer(config)
    assert check_causal(trainer(model), 100) <= 1e-6
    ours = sum(parameter.numel() for parameter in HyenaLanguageModel(config).parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(ours, rel=0.1)


class Mean(nn.Module):
    """Every position sees all others."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.mean(dim=1, keepdim=True).expand_as(hidden)


def test_a_mixer_that_sees_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="not causal"):
        check_causal(trainer(PlainModel(CONFIG, [Mean(), Mean()])), 100)


def test_a_step_changes_the_weights_alike_however_it_is_split() -> None:
    after = []
    for parts in (1, 2):
        torch.manual_seed(0)
        stepped = trainer(transformer(CONFIG))
        stepped.step(random_bases(1, 50), parts)
        after.append(stepped.model.lm_head.weight.detach().clone())
    torch.testing.assert_close(after[0], after[1])
