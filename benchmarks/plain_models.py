"""What a training step is compared with: HyenaDNA and a Transformer in plain PyTorch, alike but for their mixers.

Parameters have the names of the published checkpoints, so that one state dict serves our model and the plain one.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from benchmarks.convolution import padded_convolution
from hyena_ds.model.config import ModelConfig

HEAD_WIDTH = 64
EMBEDDING_ROWS = 16


class Sine(nn.Module):
    """sin(freq · x), its frequency trained."""

    def __init__(self, width: int, frequency: float) -> None:
        super().__init__()
        self.freq = nn.Parameter(torch.full((1, width), frequency))

    def forward(self, value: Tensor) -> Tensor:
        return torch.sin(self.freq * value)


class PlainFilter(nn.Module):
    """The implicit filter [D, L]: sine MLP and decaying window, in fp32; its tables come with the weights."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, channels = config.filter_order, config.d_model
        self.shift = config.filter_shift
        self.bias = nn.Parameter(torch.zeros(channels))
        sine = Sine(width, config.activation_freq)
        inner = [layer for _ in range(config.num_inner_mlps) for layer in (nn.Linear(width, width), sine)]
        last = nn.Linear(width, channels, bias=False)
        self.implicit_filter = nn.Sequential(nn.Linear(config.emb_dim, width), sine, *inner, last)
        self.pos_emb, self.modulation = nn.Module(), nn.Module()
        self.pos_emb.register_buffer("z", torch.zeros(1, config.l_max, config.emb_dim))
        self.pos_emb.register_buffer("t", torch.zeros(1, config.l_max, 1))
        self.modulation.register_buffer("deltas", torch.zeros(1, 1, channels))

    def forward(self, length: int) -> Tensor:
        z, t = self.pos_emb.z[:, :length], self.pos_emb.t[:, :length]
        with torch.autocast(z.device.type, enabled=False):
            window = torch.exp(-t * self.modulation.deltas.abs()) + self.shift
            values: Tensor = self.implicit_filter(z) * window
        return values[0].T


class PlainHyena(nn.Module):
    """Projection, short convolution, gate, zero-padded FFT convolution, gate, projection: [B, L, D] → [B, L, D]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, taps = config.d_model, config.short_filter_order
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.short_filter = nn.Conv1d(3 * width, 3 * width, taps, groups=3 * width, padding=taps - 1)
        self.filter_fn = PlainFilter(config)

    def forward(self, hidden: Tensor) -> Tensor:
        length = hidden.shape[1]
        projected = self.in_proj(hidden).transpose(1, 2)  # [B, 3 D, L]
        first, second, value = self.short_filter(projected)[..., :length].chunk(3, dim=1)
        value = padded_convolution(value * second, self.filter_fn(length), self.filter_fn.bias)
        mixed: Tensor = self.out_proj((value * first).transpose(1, 2))
        return mixed


class CausalAttention(nn.Module):
    """Attention of heads of 64 channels to this and earlier positions; without position embedding, as HyenaDNA."""

    def __init__(self, config: ModelConfig, backend: SDPBackend) -> None:
        super().__init__()
        self.in_proj = nn.Linear(config.d_model, 3 * config.d_model)
        self.out_proj = nn.Linear(config.d_model, config.d_model)
        self.backend = backend

    def forward(self, hidden: Tensor) -> Tensor:
        parts = self.in_proj(hidden).chunk(3, dim=2)
        query, key, value = (part.unflatten(2, (-1, HEAD_WIDTH)).transpose(1, 2) for part in parts)  # [B, H, L, 64]
        with sdpa_kernel(self.backend):
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return mixed


class PlainMlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.d_model, config.inner_width)
        self.fc2 = nn.Linear(config.inner_width, config.d_model)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.fc2(functional.gelu(self.fc1(hidden), approximate="tanh"))
        return output


class PlainBlock(nn.Module):
    """Norm, mixer, norm, MLP, around a residual stream in fp32."""

    def __init__(self, config: ModelConfig, mixer: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mlp = PlainMlp(config)

    def forward(self, residual: Tensor) -> Tensor:
        residual = residual + self.mixer(self.norm1(residual))
        stream: Tensor = residual + self.mlp(self.norm2(residual))
        return stream


class PlainBackbone(nn.Module):
    """Embeddings, blocks of which each is computed again in the backward pass, final norm."""

    def __init__(self, config: ModelConfig, mixers: list[nn.Module]) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({"word_embeddings": nn.Embedding(EMBEDDING_ROWS, config.d_model)})
        self.dropout = nn.Dropout(config.embed_dropout)
        self.layers = nn.ModuleList(PlainBlock(config, mixer) for mixer in mixers)
        self.ln_f = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)

    def forward(self, tokens: Tensor) -> Tensor:
        residual = self.dropout(self.embeddings["word_embeddings"](tokens))
        for layer in self.layers:
            residual = checkpoint(layer, residual, use_reentrant=False)
        normal: Tensor = self.ln_f(residual)
        return normal


class PlainModel(nn.Module):
    """Token ids [B, L] → logits [B, L, 16]; `mixers` are those of the layers."""

    def __init__(self, config: ModelConfig, mixers: list[nn.Module]) -> None:
        super().__init__()
        self.backbone = PlainBackbone(config, mixers)
        self.lm_head = nn.Linear(config.d_model, EMBEDDING_ROWS, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=config.initializer_range)
        self.lm_head.weight = self.backbone.embeddings["word_embeddings"].weight

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.backbone(tokens))
        return logits


def plain_hyena(config: ModelConfig) -> PlainModel:
    """The published model of order 2; its weights and tables are to be loaded."""
    return PlainModel(config, [PlainHyena(config) for _ in range(config.n_layer)])


def transformer(config: ModelConfig, backend: SDPBackend = SDPBackend.FLASH_ATTENTION) -> PlainModel:
    """A Transformer of the same layers and width: 12 D² weights a layer, where HyenaDNA has 12 D² and its filter."""
    mixer = partial(CausalAttention, config, backend)
    return PlainModel(config, [mixer() for _ in range(config.n_layer)])
