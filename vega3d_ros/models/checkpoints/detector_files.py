"""The 2D detector of a model: found on this machine, and put into its grounder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from vega3d_ros.models.checkpoints.depth_files import find_depth, make_depth
from vega3d_ros.models.checkpoints.model_paths import places
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.part_files import find_part
from vega3d_ros.models.detectors import DetectorError, load_detector, with_masks
from vega3d_ros.models.grounders import GROUNDERS, Grounder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vega3d_ros.models.checkpoints.model_config import (
        DetectorConfig,
        GrounderConfig,
        MasksConfig,
        ModelConfig,
    )


def find_detector(config: DetectorConfig, model: Path) -> Path:
    """The file or folder of a model's detector: of the first of its names that is anywhere.

    Args:
        config: Its names.
        model: The model's folder.

    Raises:
        CheckpointError: If it is nowhere; the message says what to do.
    """
    return find_part("a detector", config.files, model)


def find_masks(config: MasksConfig, model: Path) -> Path:
    """The folder of what finds masks in a detector's boxes; as ``find_detector``."""
    return find_part("masks", config.files, model)


def find_networks(name: str, model: Path) -> Path:
    """The folder of the model that lends another its prior and language model.

    Args:
        name: Its name.
        model: The folder of the model that needs it.

    Raises:
        CheckpointError: If it is nowhere.
    """
    if (found := next((one for one in places(name) if one.is_dir()), None)) is not None:
        return found
    msg = (
        f"model {model.name} needs the networks of {name}, and they are in none of "
        f"{', '.join(map(str, places(name)))}; run `vega3d download {model.name}`"
    )
    raise CheckpointError(msg)


def needed_by(config: ModelConfig, model: Path) -> dict[str, Callable[[], Path | None]]:
    """What finds each part that is kept beside a model, by what it is; see the functions above."""
    finds: dict[str, Callable[[], Path | None]] = {}
    if config.grounder is not None and (detector := config.grounder.detector) is not None:
        finds["detector"] = partial(find_detector, detector, model)
        if detector.masks is not None:
            finds["masks"] = partial(find_masks, detector.masks, model)
    if config.grounder is not None and (depth := config.grounder.depth) is not None:
        finds["depth network"] = partial(find_depth, depth, model)
    if config.networks is not None:
        finds["networks"] = partial(find_networks, config.networks, model)
    return finds


def make_grounder(
    config: GrounderConfig,
    model: Path,
    texts: Sequence[str] = (),
    *,
    device: str = "cpu",
    threads: int = 1,
    download: bool = False,
) -> Grounder[Any]:
    """The grounder of a model, apart from token heads, which are weights of the model.

    Args:
        config: Of ``model.json``. A type of another package is called with the detector and
            the texts, or with nothing where it names no detector, and with ``depth`` where it
            names that.
        model: The model's folder.
        texts: What a detector of any text looks for in every keyframe.
        device: Of torch, for detectors, masks and depth networks of transformers.
        threads: Of the processor, for an ONNX detector.
        download: Whether a depth network may be downloaded.

    Raises:
        CheckpointError: If its detector or depth network is nowhere, or cannot be loaded.
        RegistryError: If a grounder of another package cannot be imported.
    """
    kind = GROUNDERS.get(config.type)
    if config.detector is None:
        return kind()
    file, masks = find_detector(config.detector, model), config.detector.masks
    folder = None if masks is None else find_masks(masks, model)
    options: dict[str, Any] = {}
    if config.detector.threshold is not None:
        options["threshold"] = config.detector.threshold
    if config.detector.type == "onnx":
        options["threads"] = threads
    else:
        options["device"] = device
    try:
        detector = load_detector(file, **options)
        if folder is not None:
            detector = with_masks(detector, folder, device=device)
    except DetectorError as error:
        msg = f"model {model.name}: {error}"
        raise CheckpointError(msg) from error
    if config.depth is None:
        return kind(detector, texts)
    depth = make_depth(config.depth, model, device=device, download=download)
    return kind(detector, texts, depth=depth)
