"""The config of a HyenaDNA export; it travels with the weights and needs transformers alone."""

from typing import Any

from transformers import PretrainedConfig


class HyenaConfig(PretrainedConfig):
    """The public HyenaDNA config, and `filter_shift`, `bidirectional`, `resid_dropout`, `sequence_decoder` of hyena_ds.

    Keys and defaults are those of the published class; `max_seq_len` is the longest input in tokens, and the implicit
    filter depends on it. `sequence_decoder` says what the classes with a `score` layer read of the hidden states.
    """

    model_type = "hyenadna"

    def __init__(
        self,
        vocab_size: int = 12,
        d_model: int = 256,
        d_inner: int | None = None,
        use_bias: bool = True,
        train_freq: bool = True,
        max_seq_len: int = 1024,
        emb_dim: int = 3,
        n_layer: int = 12,
        num_inner_mlps: int = 2,
        hyena_order: int = 2,
        short_filter_order: int = 3,
        filter_order: int = 64,
        activation_freq: float = 1,
        filter_shift: float = 0.05,
        embed_dropout: float = 0.1,
        resid_dropout: float = 0.0,
        hyena_dropout: float = 0.0,
        hyena_filter_dropout: float = 0.0,
        bidirectional: bool = False,
        layer_norm_epsilon: float = 1e-5,
        initializer_range: float = 0.02,
        pad_vocab_size_multiple: int = 8,
        pad_token_id: int = 4,
        tie_word_embeddings: bool = False,
        sequence_decoder: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.d_model = d_model
        self.d_inner = 4 * d_model if d_inner is None else d_inner
        self.use_bias = use_bias
        self.train_freq = train_freq
        self.max_seq_len = max_seq_len
        self.emb_dim = emb_dim
        self.n_layer = n_layer
        self.num_inner_mlps = num_inner_mlps
        self.hyena_order = hyena_order
        self.short_filter_order = short_filter_order
        self.filter_order = filter_order
        self.activation_freq = activation_freq
        self.filter_shift = filter_shift
        self.embed_dropout = embed_dropout
        self.resid_dropout = resid_dropout
        self.hyena_dropout = hyena_dropout
        self.hyena_filter_dropout = hyena_filter_dropout
        self.bidirectional = bidirectional
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.pad_vocab_size_multiple = pad_vocab_size_multiple
        self.sequence_decoder = sequence_decoder
        super().__init__(pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings, **others)
