"""Makes the perceiver of a node's parameters, in the worker's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import PerceiverLike

Factory: TypeAlias = (
    "Callable[[Parameters, Callable[[str], None], Callable[[str], None]], PerceiverLike]"
)
"""Makes a perceiver; arguments: parameters, on_progress, on_out_of_memory."""


def load_perceiver(
    parameters: Parameters,
    progress: Callable[[str], None],
    on_out_of_memory: Callable[[str], None],
) -> PerceiverLike:
    """Load and warm up the model of the parameters."""
    # Here, in the worker's thread: importing it takes seconds.
    progress("libraries")
    from vega3d_ros.perception.loading import load_configured  # noqa: PLC0415

    perceiver = load_configured(parameters, progress)
    perceiver.out_of_memory.report = on_out_of_memory
    return perceiver


def grounder_name(perceiver: PerceiverLike | None) -> str:
    """What finds things and how many it has names for; empty without a grounder."""
    grounder = getattr(perceiver, "grounder", None)  # which a stand-in lacks
    if grounder is None:
        return ""
    names = grounder.vocabulary
    words = "any words" if names is None else f"{len(names)} names"
    return f"{type(grounder).__name__} ({words})"
