"""What a person sees of a run: a bar on a terminal, plain lines elsewhere."""

import sys
from typing import Any

from tqdm import tqdm


class Progress:
    """Steps done, loss, tokens a second and time left, shown by rank 0 alone."""

    def __init__(self, *, shown: bool, total_steps: int, first_step: int, every_steps: int) -> None:
        self._shown = shown
        self._every_steps = every_steps
        self._total_steps = total_steps
        self._bar: Any = None
        if shown and sys.stderr.isatty():
            self._bar = tqdm(total=total_steps, initial=first_step, unit="step", dynamic_ncols=True, smoothing=0.1)

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._shown:
            return
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)

    def step(self, values: dict[str, Any], seconds_left: float) -> None:
        """One training step done."""
        if not self._shown:
            return
        step = values["step"]
        speed = f"{values['tokens_per_second'] / 1e6:.3g} M tokens/s"
        losses = f"loss {values['loss']:.4f}"
        if "perplexity" in values:
            losses += f", perplexity {values['perplexity']:.3f}"
        summary = f"length {values['length']:,}, {losses}, {speed}"
        if self._bar is not None:
            self._bar.set_postfix_str(summary)
            self._bar.update(1)
        elif step % self._every_steps == 0 or step == self._total_steps:
            print(f"step {step:,}/{self._total_steps:,}: {summary}, {_duration(seconds_left)} left", flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
