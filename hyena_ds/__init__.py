"""HyenaDNA on DeepSpeed: `from hyena_ds import HyenaDNA` uses what was trained."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyena_ds.api import HyenaDNA

__all__ = ["HyenaDNA"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for: `hyena_ds.genome` needs no torch."""
    if name not in __all__:
        raise AttributeError(f"hyena_ds has no {name}; it offers {', '.join(__all__)}")
    from hyena_ds.api import HyenaDNA  # noqa: PLC0415 - see above

    return HyenaDNA
