import os

import pytest
import torch

from hyena_ds.engine.distributed import start
from hyena_ds.errors import InputError
from hyena_ds.parallel.environment import ProcessEnvironment


def test_a_rank_without_a_gpu_of_its_own_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    before = dict(os.environ)
    with pytest.raises(InputError, match=r"rank 5 has local rank 1 and sees 1 GPUs; .* --gpu-bind=none"):
        start(ProcessEnvironment(5, 8, 1, 4, "127.0.0.1", 29500, "test"))
    assert dict(os.environ) == before
