"""Frozen networks as sources of spatial features: frames in, generative tokens out.

One file or folder per family behind :class:`vega3d_ros.models.priors.base.Prior`, and one line
here; exact speed-ups live beside the model they belong to. Nothing is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.core.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.models.priors.base import Prior

__all__ = ["PRIORS", "load_prior"]

PRIORS: Registry[type[Prior]] = Registry(
    "prior",
    entry_points="vega3d_ros.priors",
    dino="vega3d_ros.models.priors.dino:DinoPrior",
    vae="vega3d_ros.models.priors.vae:VaePrior",
    wan="vega3d_ros.models.priors.wan.prior:WanPrior",
)
"""Families by the ``type`` in ``model.json``."""


def load_prior(folder: Path) -> Prior:
    """The prior of a folder that one of the families wrote, on the CPU.

    Raises:
        PriorError: If something is missing, damaged, or does not fit.
        RegistryError: If its type is unknown.
    """
    from vega3d_ros.models.priors.files import CONFIG_FILE, read_json  # noqa: PLC0415

    kind = read_json(folder / CONFIG_FILE).get("type", "wan")  # a prior of format 1 names none
    return PRIORS.get(kind).from_folder(folder)
