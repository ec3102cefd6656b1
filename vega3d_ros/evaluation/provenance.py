"""The provenance of a result: versions, the model's files, the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vega3d_ros import __version__
from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.json_io import read_object
from vega3d_ros.models.checkpoints.model_paths import found_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES = ("torch", "diffusers", "transformers", "numpy", "opencv-python-headless", "rosbags")
_WHOLE_BYTES = 64 << 20
_PART_BYTES = 1 << 20


def model_hash(folder: Path, beside: Sequence[Path] = ()) -> str:
    """SHA-256 of the names, sizes and contents of a model folder's files.

    Of a file above 64 MiB it reads only the first and the last MiB, so that large models start
    fast.

    Args:
        folder: The folder, or the one file.
        beside: Parts of the model that are kept elsewhere.
    """
    digest = hashlib.sha256()
    files = [(file, str(file.relative_to(folder))) for file in _files(folder)]
    for part in beside:
        files += [(file, str(file.relative_to(part.parent))) for file in _files(part)]
    for file, name in files:
        size = file.stat().st_size
        digest.update(f"{name}:{size}:".encode())
        with file.open("rb") as data:
            if size <= _WHOLE_BYTES:
                while block := data.read(_PART_BYTES):
                    digest.update(block)
            else:
                digest.update(data.read(_PART_BYTES))
                data.seek(-_PART_BYTES, os.SEEK_END)
                digest.update(data.read())
    return digest.hexdigest()


def _files(place: Path) -> list[Path]:
    return sorted(f for f in place.rglob("*") if f.is_file()) if place.is_dir() else [place]


def provenance(model: str, folder: Path | None, device: str) -> dict[str, Any]:
    """All that is needed to reproduce a result; no ``folder``: another process has the model."""
    settings = {} if folder is None else _description(folder)
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {
            "vega3d_ros": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
        "model": {**identity(model, folder), "card": str(settings.get("card", ""))},
        "command": sys.argv,
        "hardware": _hardware(device),
        "seeds": {"noise": _seed(settings), "resampling": 0},
    }


def identity(model: str, folder: Path | None) -> dict[str, str]:
    """A model's name, the hash of its files and the name of its detector; empty where unknown."""
    if folder is None:
        return {"name": model, "sha256": "", "detector": ""}
    parts = found_parts(_description(folder), folder)
    beside = [part for part in parts.values() if part is not None]
    detector = parts.get("detector")
    return {
        "name": model,
        "sha256": model_hash(folder, beside),
        "detector": "" if detector is None else detector.name,
    }


def located(model: str) -> Path | None:
    """A model's folder; None where there is none, which loading the model reports."""
    from vega3d_ros.models.checkpoints.load import locate  # noqa: PLC0415 - imports torch

    try:
        return locate(model)
    except Vega3dError:
        return None


def _commit() -> str:
    """The commit of the package's sources; empty where they are no checkout of git."""
    here = Path(__file__).resolve()
    if not (here.parents[2] / ".git").exists():
        return ""
    words = ["git", "-C", str(here.parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _description(folder: Path) -> dict[str, Any]:
    """A model's ``model.json``, or its equivalent for an official checkpoint."""
    file = folder / "model.json"
    if file.is_file():
        return read_object(file)
    from vega3d_ros.models.checkpoints.official.layout import card, is_official  # noqa: PLC0415 - imports torch

    return {"card": card(folder), "prior": {"seed": 0}} if is_official(folder) else {}


def _seed(settings: Any) -> int | None:
    """The model's noise seed, which with a frame's stamp determines all randomness."""
    prior = settings.get("prior") if isinstance(settings, dict) else None
    seed = prior.get("seed") if isinstance(prior, dict) else None
    return seed if isinstance(seed, int) else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _hardware(device: str) -> dict[str, Any]:
    names = [
        line.split(":", 1)[1].strip()
        for line in _lines(Path("/proc/cpuinfo"))
        if line.startswith("model name")
    ]
    memory = [line.split()[1] for line in _lines(Path("/proc/meminfo")) if "MemTotal" in line]
    found: dict[str, Any] = {
        "system": platform.platform(),
        "cpu": names[0] if names else platform.processor(),
        "cpus": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "memory_gib": round(int(memory[0]) / 2**20, 1) if memory else None,
        "device": device,
    }
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415 - slow to import, and only here needed

        # On a cluster the device may be another machine's.
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name(device)
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
