"""What a console shows while a recording is played to a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from rich.console import Console

    from vega3d_ros.evaluation.schema import Prediction


class Display:
    """Shows on a console how far a live run is, and every reply.

    Args:
        console: Where to.
        waiting_for: What it waits for before it plays, for example ``starting``.
        begin_s: Second of the recording at which playing begins.
        end_s: Second at which it ends.
    """

    def __init__(self, console: Console, waiting_for: str, begin_s: float, end_s: float) -> None:
        self._waiting_for, self._begin_s, self._end_s = waiting_for, begin_s, end_s
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[seconds]}"),
            console=console,
            transient=True,
        )
        self._task = self.bar.add_task(waiting_for, total=None, seconds="")

    def waiting(self, state: str) -> None:
        """Show the node's state while it is not ready."""
        self.bar.update(self._task, description=f"{self._waiting_for}: {state}")

    def say(self, text: str) -> None:
        """Print a line."""
        self.bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def played(self, seconds: float) -> None:
        """Show the second of the recording that was played last."""
        self.bar.update(
            self._task,
            description="playing",
            total=self._end_s - self._begin_s,
            completed=seconds - self._begin_s,
            seconds=f"{seconds:.1f} of {self._end_s:.1f} s",
        )

    def replied(self, reply: Prediction) -> None:
        """Print a reply."""
        self.say(_line(reply))


def _line(reply: Prediction) -> str:
    question = reply.question
    truth = "" if question.answer is None else f" (truth: {question.answer})"
    text = f"{reply.error or reply.words}{truth}"
    return f"{reply.asked_at_s:6.1f} s  {question.text}  {text}  {reply.latency_ms:.0f} ms"
