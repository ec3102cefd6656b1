"""The 2D detector of a model: found on this machine, and put into its grounder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vega3d_ros.models.checkpoints.depth_files import make_depth
from vega3d_ros.models.checkpoints.model_paths import VARIABLE, detector_folders, first_found
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.published import PUBLISHED
from vega3d_ros.models.detectors import DetectorError, load_detector
from vega3d_ros.models.grounders import GROUNDERS, Grounder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vega3d_ros.models.checkpoints.model_config import DetectorConfig, GrounderConfig


def find_detector(config: DetectorConfig, model: Path) -> Path:
    """The file or folder of a model's detector: of the first of its names that is anywhere.

    Args:
        config: Its names.
        model: The model's folder.

    Raises:
        CheckpointError: If it is nowhere; the message says what to do.
    """
    folders = detector_folders(model)
    if (found := first_found(config.files, folders)) is not None:
        return found
    known = [PUBLISHED[name] for name in config.files if name in PUBLISHED]
    get_it = f"run `vega3d download {model.name}`" if known else "get it from its authors"
    published = f" (published at {', '.join(file.url for file in known)})" if known else ""
    msg = (
        f"model {model.name} needs a detector, {' or '.join(config.files)}{published}, and it is "
        f"in none of {', '.join(map(str, folders))}; {get_it}, or set {VARIABLE}=FOLDER"
        f"[{os.pathsep}FOLDER...] to where it lies"
    )
    raise CheckpointError(msg)


def make_grounder(
    config: GrounderConfig,
    model: Path,
    texts: Sequence[str] = (),
    *,
    threads: int = 1,
    device: str = "cpu",
    download: bool = False,
) -> Grounder[Any]:
    """The grounder of a model, apart from token heads, which are weights of the model.

    Args:
        config: Of ``model.json``. A type of another package is called with the detector and
            the texts, or with nothing where it names no detector, and with ``depth`` where it
            names that.
        model: The model's folder.
        texts: What a detector of any text looks for in every keyframe.
        threads: Of the processor, for an ONNX detector.
        device: Of torch, for a depth network.
        download: Whether a depth network may be downloaded.

    Raises:
        CheckpointError: If its detector or depth network is nowhere, or cannot be loaded.
        RegistryError: If a grounder of another package cannot be imported.
    """
    kind = GROUNDERS.get(config.type)
    if config.detector is None:
        return kind()
    file = find_detector(config.detector, model)
    options: dict[str, Any] = {}
    if config.detector.threshold is not None:
        options["threshold"] = config.detector.threshold
    if config.detector.type == "onnx":
        options["threads"] = threads
    try:
        detector = load_detector(file, **options)
    except DetectorError as error:
        msg = f"model {model.name}: {error}"
        raise CheckpointError(msg) from error
    if config.depth is None:
        return kind(detector, texts)
    depth = make_depth(config.depth, model, device=device, download=download)
    return kind(detector, texts, depth=depth)
