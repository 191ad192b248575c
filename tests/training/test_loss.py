import math

import torch

from hyena_ds.training.loss import token_loss_sum
from hyena_ds.training.validation import Score


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    counted = torch.tensor([[True, True, False], [False, True, True]])
    total = token_loss_sum(torch.zeros(2, 3, 16), torch.full((2, 3), 7), counted)
    torch.testing.assert_close(total, torch.tensor(4 * math.log(16)))


def test_a_model_of_four_equal_bases_has_perplexity_four() -> None:
    logits = torch.full((1, 5, 16), -1e9)
    logits[..., 7:11] = 0.0
    total = token_loss_sum(logits, torch.tensor([[7, 8, 9, 10, 7]]), torch.ones(1, 5, dtype=torch.bool))
    score = Score(nats=float(total), bases=5, windows=1)
    assert math.isclose(score.perplexity, 4.0, rel_tol=1e-6)
    assert math.isclose(score.bits_per_base, 2.0, rel_tol=1e-6)


def test_targets_that_do_not_count_have_no_gradient() -> None:
    logits = torch.randn(1, 4, 16, requires_grad=True)
    counted = torch.tensor([[True, False, True, False]])
    token_loss_sum(logits, torch.tensor([[7, 8, 9, 10]]), counted).backward()
    assert logits.grad is not None
    assert logits.grad[~counted].eq(0).all()
    assert logits.grad[counted].ne(0).all()


def test_bf16_logits_are_summed_in_fp32() -> None:
    logits = torch.randn(1, 4096, 16).bfloat16()
    targets = torch.randint(7, 11, (1, 4096))
    counted = torch.ones(1, 4096, dtype=torch.bool)
    exact = token_loss_sum(logits.double(), targets, counted)
    torch.testing.assert_close(token_loss_sum(logits, targets, counted).double(), exact.double(), rtol=1e-6, atol=0)
