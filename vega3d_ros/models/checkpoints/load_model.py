"""A model, with or without networks of this package: what a perceiver is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vega3d_ros.core.registry import RegistryError
from vega3d_ros.models.checkpoints.depth_files import find_depth
from vega3d_ros.models.checkpoints.detector_files import find_networks, make_grounder
from vega3d_ros.models.checkpoints.load import check_memory, load_modules, locate
from vega3d_ros.models.checkpoints.model_config import (
    TOKEN_HEAD,
    ModelConfigError,
    read_model_config,
)
from vega3d_ros.models.checkpoints.modules import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.models.grounders import Grounder
    from vega3d_ros.models.memory import Workload


@dataclass(frozen=True, eq=False)
class Model:
    """What a model folder or an official checkpoint holds.

    Attributes:
        modules: Its networks; None for a model of a detector and geometry alone.
        grounder: What finds things instead of a token head; None where the token head does.
        settings: See ``modules.Modules``.
    """

    modules: Modules | None
    grounder: Grounder[Any] | None
    settings: dict[str, Any]


def load_model(
    name: str | Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    prior: Mapping[str, Any] | None = None,
    reference: bool = False,
    inference_only: bool = False,
    workload: Workload | None = None,
    revision: str | None = None,
    download: bool = False,
    threads: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Model:
    """Load a model.

    Args:
        name: A shipped or downloaded model's name, a folder, or an id on the Hugging Face hub.
        device: See ``load.load_modules``, as for the next five.
        dtype: See there.
        prior: See there.
        reference: See there.
        inference_only: See there.
        workload: See there.
        revision: Of a model on the hub: branch, tag or commit.
        download: Whether a model on the hub may be downloaded.
        threads: Of the processor, for a detector that has threads of its own.
        progress: Told what is being loaded.

    Raises:
        DeviceError: If it does not fit the device; nothing was loaded then.
        CheckpointError: If something is missing, damaged, of another kind, or newer than this.
    """
    folder = locate(name, revision=revision, download=download, device=device)
    file = folder / "model.json"
    try:
        config = read_model_config(file, prior) if file.is_file() else None
    except ModelConfigError as error:
        raise CheckpointError(str(error)) from error
    networks = folder
    if config is not None and config.networks is not None:
        networks = find_networks(config.networks, folder)
    if config is not None and config.grounder is not None and config.grounder.depth is not None:
        find_depth(config.grounder.depth, folder, download=download)  # the estimate needs it here
    if config is not None:
        check_memory(folder, device, dtype, workload, prior)
    grounder = None
    if config is not None and config.grounder is not None and config.grounder.type != TOKEN_HEAD:
        progress("detector")
        texts = config.settings.get("labels", ())
        try:
            grounder = make_grounder(
                config.grounder,
                folder,
                texts,
                device=device,
                threads=threads,
                download=download,
            )
        except RegistryError as error:
            msg = f"{file}: {error}"
            raise CheckpointError(msg) from error
    if config is not None and config.language is None and config.networks is None:
        return Model(None, grounder, config.settings)
    modules = load_modules(
        networks,
        device=device,
        dtype=dtype,
        prior=prior,
        reference=reference,
        inference_only=inference_only,
        workload=workload,
        progress=progress,
    )
    if config is not None:
        modules.settings = {**modules.settings, **config.settings}
    return Model(modules, grounder, modules.settings)
