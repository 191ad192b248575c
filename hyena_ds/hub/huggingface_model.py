"""HyenaDNA as transformers knows it: the classes of an export, around the one model of this project.

The file that travels with the weights is generated from this module and the model's own (`modeling_source.py`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutput,
    CausalLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from hyena_ds.hub.configuration_hyena import HyenaConfig
from hyena_ds.model.block import Block
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.decoder import (
    SPECIAL_TOKEN_IDS,
    DecoderConfig,
    DecoderHead,
    counted_positions,
    pooled,
    position_weights,
)
from hyena_ds.model.filter import ExponentialModulation, HyenaFilter, PositionalFeatures, Sine
from hyena_ds.model.language_model import EMBEDDING_ROWS, HyenaBackbone

IGNORED_LABEL = -100


def model_config(config: HyenaConfig) -> ModelConfig:
    """The model that a transformers config describes."""
    return ModelConfig(
        d_model=config.d_model,
        n_layer=config.n_layer,
        l_max=config.max_seq_len,
        d_inner=config.d_inner,
        order=config.hyena_order,
        filter_order=config.filter_order,
        emb_dim=config.emb_dim,
        short_filter_order=config.short_filter_order,
        activation_freq=float(config.activation_freq),
        num_inner_mlps=config.num_inner_mlps,
        filter_shift=config.filter_shift,
        embed_dropout=config.embed_dropout,
        resid_dropout=config.resid_dropout,
        hyena_dropout=config.hyena_dropout,
        bidirectional=config.bidirectional,
        layer_norm_epsilon=config.layer_norm_epsilon,
        initializer_range=config.initializer_range,
    )


def decoder_config(config: HyenaConfig) -> DecoderConfig:
    """How a `score` layer reads the hidden states; the published class takes the last real token, whichever it is."""
    if config.sequence_decoder is None:
        return DecoderConfig(mode="last", special_tokens=tuple(SPECIAL_TOKEN_IDS), bias=False)
    lists = {name: tuple(config.sequence_decoder[name]) for name in ("special_tokens", "widths")}
    return DecoderConfig(**config.sequence_decoder | lists)


def frequency_copies(config: HyenaConfig, prefix: str) -> dict[str, str]:
    """The further names of each layer's one filter frequency, and the name under which files have it."""
    copies = {}
    for layer in range(config.n_layer):
        network = f"{prefix}layers.{layer}.mixer.filter_fn.implicit_filter"
        for number in range(1, config.num_inner_mlps + 1):
            copies[f"{network}.{2 * number + 1}.freq"] = f"{network}.1.freq"
    return copies


class HyenaDNAPreTrainedModel(PreTrainedModel):
    """What all HyenaDNA classes share: the config, the initialisation, and a filter that stays in fp32."""

    config_class = HyenaConfig
    base_model_prefix = "hyena"
    main_input_name = "input_ids"
    _no_split_modules = ["Block"]  # noqa: RUF012
    _keys_to_ignore_on_load_unexpected = [r"^lm_head\.", r"^score\."]  # noqa: RUF012
    # sin(10 x) turns bf16 rounding into errors of up to 100 % of the filter.
    _keep_in_fp32_modules_strict = ["filter_fn"]  # noqa: RUF012
    supports_gradient_checkpointing = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """The initialisation of pretraining, module by module."""
        deviation = self.config.initializer_range
        match module:
            case nn.Linear():
                depth_scale = (2 * self.config.n_layer) ** -0.5 if module in self._output_projections() else 1.0
                nn.init.normal_(module.weight, std=deviation * depth_scale)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            case nn.Embedding():
                nn.init.normal_(module.weight, std=deviation)
            case nn.LayerNorm():
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            case nn.Conv1d():
                module.reset_parameters()
            case Sine():
                nn.init.constant_(module.freq, self.config.activation_freq)
            case HyenaFilter():
                nn.init.normal_(module.bias)
            case PositionalFeatures():
                computed = PositionalFeatures(self.config.max_seq_len, self.config.emb_dim)
                module.z.copy_(computed.z)
                module.t.copy_(computed.t)
            case ExponentialModulation():
                module.deltas.copy_(ExponentialModulation(module.deltas.shape[-1], module.shift).deltas)

    def _set_gradient_checkpointing(self, enable: bool = True, **_: Any) -> None:
        """Compute blocks once more in the backward pass, by the model's own means."""
        policy: Literal["block", "none"] = "block" if enable else "none"
        for module in self.modules():
            if isinstance(module, HyenaDNAModel):
                module.gradient_checkpointing = enable
                module.backbone.compute_by(replace(module.backbone.execution, activation_checkpointing=policy))

    def _output_projections(self) -> list[nn.Module]:
        blocks = [module for module in self.modules() if isinstance(module, Block)]
        return [projection for block in blocks for projection in (block.mixer.out_proj, block.mlp.fc2)]


class HyenaDNAModel(HyenaDNAPreTrainedModel):
    """The backbone: token ids to hidden states after the final norm."""

    def __init__(self, config: HyenaConfig, **others: Any) -> None:
        super().__init__(config, **others)
        self.gradient_checkpointing = False
        self.backbone = HyenaBackbone(model_config(config), share_tables=False)
        self._tied_weights_keys = frequency_copies(config, "backbone.")
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.backbone.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.backbone.embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Hidden states [B, L, D].

        Args:
            input_ids: token ids [B, L], or instead `inputs_embeds` [B, L, D].
            attention_mask: [B, L], 1 at real positions; padding then reaches no real position, on either side.
                Without it the result is that of the published code on the padded input.
            output_hidden_states: also the embeddings, each layer's output and the final norm's: n_layer + 2 tensors.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        embedded = self.backbone.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        keys = None
        if self.backbone.replays_dropout:
            keys = torch.randint(2**62, embedded.shape[:1], device=embedded.device)
        last, kept = embedded, []
        for last in self.backbone.hidden_states(embedded, attention_mask, keys):
            if wanted:
                kept.append(last)
        output = BaseModelOutput(last_hidden_state=last, hidden_states=tuple(kept) if wanted else None)
        return output if return_dict is not False else output.to_tuple()


class HyenaDNAForCausalLM(HyenaDNAPreTrainedModel, GenerationMixin):
    """The pretrained model with its next-base head; it generates without a cache."""

    def __init__(self, config: HyenaConfig, **others: Any) -> None:
        super().__init__(config, **others)
        self.hyena = HyenaDNAModel(config)
        self.lm_head = nn.Linear(config.d_model, EMBEDDING_ROWS, bias=False)
        # Tied where config.tie_word_embeddings asks for it; published files have two copies.
        self._tied_weights_keys = {"lm_head.weight": "hyena.backbone.embeddings.word_embeddings.weight"}
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def get_input_embeddings(self) -> nn.Embedding:
        return self.hyena.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.hyena.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.lm_head = value

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, *_: Any, attention_mask: Tensor | None = None, logits_to_keep: int = 0, **__: Any
    ) -> dict[str, Any]:
        """The whole sequence at every step: a long convolution has no short state."""
        return {"input_ids": input_ids, "attention_mask": attention_mask, "logits_to_keep": logits_to_keep}

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int = 0,
    ) -> CausalLMOutput | tuple[Any, ...]:
        """Logits [B, L, 16] of the next token; see `HyenaDNAModel.forward`.

        Args:
            labels: token ids [B, L]; they are shifted here, so pass the input itself. As in the published code only
                -100 is ignored: set padding to it.
            logits_to_keep: logits of the last positions only; 0 for all.
        """
        output = self.hyena(input_ids, attention_mask, inputs_embeds, output_hidden_states, return_dict=True)
        logits = self.lm_head(output.last_hidden_state[:, -logits_to_keep:])
        loss = None
        if labels is not None:
            targets = labels[:, 1:].to(logits.device)
            loss = functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED_LABEL
            )
        result = CausalLMOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)
        return result if return_dict is not False else result.to_tuple()


class HyenaDNAForClassification(HyenaDNAPreTrainedModel):
    """The backbone and a `score` head, as `config.sequence_decoder` says; by default it scores the last real token."""

    output_class: ClassVar[type[Any]]
    _logits: Callable[..., Tensor]
    _loss: Callable[..., Tensor]

    def __init__(self, config: HyenaConfig, **others: Any) -> None:
        super().__init__(config, **others)
        self.num_labels = int(config.num_labels or 1)
        self.decoder = decoder_config(config)
        self.hyena = HyenaDNAModel(config)
        self.score = DecoderHead(self.decoder, config.d_model, self.num_labels)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.hyena.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.hyena.set_input_embeddings(value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutput | TokenClassifierOutput | tuple[Any, ...]:
        """The scores and, with `labels`, the loss that the class describes; see `HyenaDNAModel.forward`."""
        output = self.hyena(input_ids, attention_mask, inputs_embeds, output_hidden_states, return_dict=True)
        logits = self._logits(output.last_hidden_state, input_ids, attention_mask)
        loss = None if labels is None else self._loss(logits, labels.to(logits.device))
        result = self.output_class(loss=loss, logits=logits, hidden_states=output.hidden_states)
        return result if return_dict is not False else result.to_tuple()


class HyenaDNAForSequenceClassification(HyenaDNAForClassification):
    """Scores [B, num_labels] of a sequence: classes, several labels, or values (`config.problem_type`).

    Labels are classes [B] int64, values [B] or [B, num_labels] float for regression, or a float 0/1 matrix
    [B, num_labels]; `config.problem_type` says which, or the labels' dtype does.
    """

    output_class = SequenceClassifierOutput

    def _logits(self, hidden: Tensor, input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
        counted = self._counted(hidden, input_ids, attention_mask)
        return self.score(pooled(hidden, position_weights(counted, self.decoder)))

    def _counted(self, hidden: Tensor, input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
        """The positions [B, L] that the decoder may look at; without token ids none is known to be special."""
        if input_ids is None:
            input_ids = torch.full(hidden.shape[:2], -1, device=hidden.device)
        real = input_ids != self.config.pad_token_id if attention_mask is None else attention_mask
        return counted_positions(input_ids, real, self.decoder.special_tokens)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type is None:
            self.config.problem_type = self._problem_type(labels)
        match self.config.problem_type:
            case "regression":
                return functional.mse_loss(logits.squeeze(-1).float(), labels.squeeze(-1).float())
            case "single_label_classification":
                return functional.cross_entropy(logits.float(), labels.flatten())
        return functional.binary_cross_entropy_with_logits(logits.float(), labels.float())

    def _problem_type(
        self, labels: Tensor
    ) -> Literal["regression", "single_label_classification", "multi_label_classification"]:
        if self.num_labels == 1:
            return "regression"
        return "multi_label_classification" if labels.is_floating_point() else "single_label_classification"


class HyenaDNAForTokenClassification(HyenaDNAForClassification):
    """Scores [B, L, num_labels] of each position; labels are classes [B, L], of which -100 is ignored."""

    output_class = TokenClassifierOutput

    def _logits(self, hidden: Tensor, *_: Tensor | None) -> Tensor:
        return self.score(hidden)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED_LABEL)
