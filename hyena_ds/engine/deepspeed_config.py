"""DeepSpeed's dictionary, generated from typed config with every key that matters written out.

DeepSpeed ignores keys it does not know and clips at 1.0 where nothing is said, so nothing is written by hand.
"""

from typing import Any

from hyena_ds.engine.config import EngineConfig, OptimizerConfig

NEVER = 2**62


def deepspeed_dictionary(
    engine: EngineConfig, optimizer: OptimizerConfig, *, bf16: bool, parameters: int
) -> dict[str, Any]:
    """The config of `deepspeed.initialize`; the batch size is nominal, since accumulation is the caller's.

    DeepSpeed is not told of sequence parallelism: a rank's loss is a sum over its own targets whichever samples and
    positions they are, so that all ranks are alike and the gradient is the sum over them.
    """
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        # Without ZeRO, DeepSpeed would clip tensor by tensor: the engine does it at once.
        "gradient_clipping": optimizer.gradient_clipping if engine.zero_stage else 0.0,
        "prescale_gradients": False,
        "communication_data_type": "fp32",
        "fp16": {"enabled": False},
        "bf16": {"enabled": False},
        # An empty list keeps gradients and stage 3's gathers in fp32; the default would send them in bf16.
        "torch_autocast": {"enabled": bf16, "dtype": "bfloat16", "lower_precision_safe_modules": []},
        "zero_optimization": {
            "stage": engine.zero_stage,
            "contiguous_gradients": True,
            "overlap_comm": False,
            "reduce_scatter": True,
            # A buffer of that many elements is made; the default takes 1.9 GiB.
            "reduce_bucket_size": parameters,
            "stage3_param_persistence_threshold": engine.parameter_persistence_threshold,
        },
        "zero_allow_untested_optimizer": False,
        "steps_per_print": NEVER,
        "wall_clock_breakdown": False,
    }
