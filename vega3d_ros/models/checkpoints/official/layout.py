"""What lies where in an official spatial-reasoning checkpoint, told from headers alone."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.core.settings import read_settings
from vega3d_ros.models.priors.wan.config import WanPriorConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

TOWER = "generative_encoder.tower.model."
MERGER = "generative_merger."
FUSION = "generative_fusion."
LANGUAGE = ("visual.", "model.", "lm_head.")

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"


class OfficialError(Vega3dError, ValueError):
    """An official checkpoint that cannot be used; the message names the file and the remedy."""


def is_official(folder: Path) -> bool:
    """Whether a folder is a checkpoint of the official spatial-reasoning class."""
    try:
        config = read_object(folder / "config.json")
    except JsonError:
        return False
    return (
        config.get("use_generative_encoder") is True or "generative_encoder_tower_type" in config
    )


def card(folder: Path) -> str:
    """What a checkpoint is, for people."""
    return (
        f"VEGA-3D spatial reasoning, an official checkpoint ({folder.name}): answers questions "
        "about frames; it has no grounding head, so it gives no objects."
    )


@dataclass(frozen=True)
class Layout:
    """An official checkpoint folder.

    Attributes:
        folder: The folder.
        config: Its ``config.json``.
        files: The file that holds each tensor.
        shapes: The shape of each tensor.
    """

    folder: Path
    config: Mapping[str, Any]
    files: Mapping[str, Path]
    shapes: Mapping[str, tuple[int, ...]]

    def below(self, prefix: str) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors whose names begin with a prefix, named without it."""
        return {
            key.removeprefix(prefix): shape
            for key, shape in self.shapes.items()
            if key.startswith(prefix)
        }

    def tensors(
        self, prefix: str, wanted: Callable[[str], bool] = lambda _: True
    ) -> dict[str, Tensor]:
        """The wanted tensors below a prefix, named without it.

        Raises:
            OfficialError: If a file is damaged.
        """
        found: dict[str, Tensor] = {}
        names = [k for k in self.files if k.startswith(prefix) and wanted(k.removeprefix(prefix))]
        for file in sorted({self.files[name] for name in names}):
            with _open(file) as opened:
                for name in names:
                    if self.files[name] == file:
                        found[name.removeprefix(prefix)] = opened.get_tensor(name)
        return found

    def setting(self, name: str, default: Any) -> Any:
        """A setting of the tower: ``generative_vision_tower_*``, else ``generative_encoder_*``."""
        value = self.config.get(f"generative_vision_tower_{name}")
        value = self.config.get(f"generative_encoder_{name}") if value is None else value
        return default if value is None else value

    def prior_config(self) -> WanPriorConfig:
        """The tower's settings; what the file does not say is what the official code takes.

        Source: official ``wan_vace_encoder.py`` (spatial-reasoning branch).

        Raises:
            OfficialError: If a setting cannot be read.
        """
        size = str(self.setting("size", "832*480"))
        try:
            width, height = (int(part) for part in size.split("*"))
            block = int(self.setting("feat_block_idx", -1))
            values = {
                "block": max(block, -1),
                "timestep": int(self.setting("timestep", 300)),
                "shift": float(self.setting("shift", 5.0)),
                "width": width,
                "height": height,
                "align": "official",
            }
            return read_settings(WanPriorConfig, values, "the tower")
        except (TypeError, ValueError) as error:
            msg = f"{self.folder / 'config.json'}: a setting of the tower is unusable: {error}"
            raise OfficialError(msg) from error


def read_layout(folder: Path) -> Layout:
    """Find every tensor of a checkpoint, without reading its values.

    Raises:
        OfficialError: If files are missing or damaged, or hold pickles only.
    """
    config = read_json(folder / "config.json")
    if (folder / _INDEX).is_file():
        files = _indexed(folder)
    elif (folder / _SINGLE).is_file():
        files = None
    else:
        pickled = sorted(file.name for file in folder.glob("*.bin"))
        shards = sorted(file.name for file in folder.glob("model-*.safetensors"))
        remedy = "copy the folder again"
        if shards:
            remedy = f"it has {len(shards)} shards; copy their index, {_INDEX}, too"
        elif pickled:
            remedy = f"pickles ({pickled[0]}) are not read; convert them to safetensors"
        msg = f"{folder} has neither {_INDEX} nor {_SINGLE}; {remedy}"
        raise OfficialError(msg)
    shapes: dict[str, tuple[int, ...]] = {}
    held: dict[str, Path] = {}
    for file in sorted(set(files.values())) if files else [folder / _SINGLE]:
        if not file.is_file():
            msg = f"{file} is missing, though {_INDEX} names it; copy the folder again"
            raise OfficialError(msg)
        with _open(file) as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dict
                held[name] = file
                shapes[name] = tuple(opened.get_slice(name).get_shape())
    lost = sorted(set(files or ()) - set(held))
    if lost:
        msg = f"{folder / _INDEX} names {lost[0]}, which no file holds; copy the folder again"
        raise OfficialError(msg)
    return Layout(folder, config, held, shapes)


def _indexed(folder: Path) -> dict[str, Path]:
    names = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and "/" not in name and "\\" not in name for name in names.values()
    ):
        msg = f"{folder / _INDEX} has no weight_map of file names; copy the folder again"
        raise OfficialError(msg)
    return {key: folder / name for key, name in names.items()}


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        OfficialError: If there is none.
    """
    try:
        return read_object(file)
    except JsonError as error:
        msg = f"{error}; copy the folder again"
        raise OfficialError(msg) from error


@contextmanager
def _open(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, "pt") as opened:
            yield opened
    except (OSError, SafetensorError) as error:
        msg = f"{file} is damaged or incomplete: {error}; copy it again"
        raise OfficialError(msg) from error
