"""The depth network of a model: found on this machine, and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.models.checkpoints.hub import hub_folder
from vega3d_ros.models.checkpoints.model_paths import detector_folders, first_found
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.part_files import find_part
from vega3d_ros.models.depth import DEPTHS, DepthError

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.models.checkpoints.model_config import DepthConfig
    from vega3d_ros.models.depth import DepthSource


def find_depth(config: DepthConfig, model: Path, *, download: bool = False) -> Path | None:
    """The folder of a model's depth network; None where its kind has none.

    Args:
        config: Its names.
        model: The model's folder.
        download: Whether it may be downloaded.

    Raises:
        CheckpointError: If it is nowhere; the message says what to do.
    """
    if not config.files and config.hub is None:
        return None
    if config.hub is None:
        return find_part("a depth network", config.files, model)
    found = first_found(config.files, detector_folders(model))
    return found or hub_folder(config.hub, revision=config.revision, download=download)


def make_depth(
    config: DepthConfig, model: Path, *, device: str = "cpu", download: bool = False
) -> DepthSource:
    """Depth beside the sensor's.

    Args:
        config: Of ``model.json``. A type of another package is called with its folder, or with
            nothing where it names none.
        model: The model's folder.
        device: Of torch, for a network.
        download: Whether a network may be downloaded.

    Raises:
        CheckpointError: If its network is nowhere, or cannot be loaded.
        RegistryError: If a type of another package cannot be imported.
    """
    kind = DEPTHS.get(config.type)
    folder = find_depth(config, model, download=download)
    if folder is None:
        return kind()
    options: dict[str, Any] = {}
    if config.type == "network":
        options = {"canonical_focal": config.canonical_focal, "device": device}
    try:
        return kind(folder, **options)
    except DepthError as error:
        msg = f"model {model.name}: {error}"
        raise CheckpointError(msg) from error
