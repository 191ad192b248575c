"""The linear maps of a layer."""

from torch import Tensor, nn

from hyena_ds.ops.linear.dispatch import linear


class Linear(nn.Linear):
    """As torch's, but for who computes its bias' gradient."""

    def forward(self, value: Tensor) -> Tensor:
        return linear(value, self.weight, self.bias)
