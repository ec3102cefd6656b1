"""What a console shows while a recording is played to a node."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from vega3d_ros.core.console import progress

if TYPE_CHECKING:
    from rich.console import Console

    from vega3d_ros.evaluation.schema import Prediction


class Display(ExitStack):
    """Shows on a console how far a live run is, and every reply, while the context lasts.

    Args:
        console: Where to.
        waiting_for: What it waits for before it plays, for example ``starting``.
        begin_s: Second of the recording at which playing begins.
        end_s: Second at which it ends.
    """

    def __init__(self, console: Console, waiting_for: str, begin_s: float, end_s: float) -> None:
        super().__init__()
        self._console, self._waiting_for = console, waiting_for
        self._begin_s, self._end_s = begin_s, end_s
        self._tell = self.enter_context(progress(console))

    def waiting(self, state: str) -> None:
        """Show the node's state while it is not ready."""
        self._tell(self._waiting_for, 0.0, 1.0, state)

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def played(self, seconds: float) -> None:
        """Show the second of the recording that was played last."""
        done, length = seconds - self._begin_s, self._end_s - self._begin_s
        self._tell("playing", done, length, f"{seconds:.1f} of {self._end_s:.1f} s")

    def replied(self, reply: Prediction) -> None:
        """Print a reply."""
        self.say(_line(reply))


def _line(reply: Prediction) -> str:
    question = reply.question
    truth = "" if question.answer is None else f" (truth: {question.answer})"
    text = f"{reply.error or reply.words}{truth}"
    return f"{reply.asked_at_s:6.1f} s  {question.text}  {text}  {reply.latency_ms:.0f} ms"
