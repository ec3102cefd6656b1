"""``vega3d download``: the only command that touches the network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from rich.console import Console

from vega3d_ros.models.checkpoints.hub import hub_folder, is_hub_id
from vega3d_ros.models.checkpoints.model_paths import detector_downloads, downloads
from vega3d_ros.models.checkpoints.official.layout import OfficialError
from vega3d_ros.models.checkpoints.published import download_first

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


@dataclass(frozen=True)
class Source:
    """Files of a Hugging Face repository, and where they go.

    Attributes:
        repository: Its id.
        patterns: Which files.
        below: Folder below the model's own.
    """

    repository: str
    patterns: tuple[str, ...]
    below: str = ""


_TEXT = ("*.json", "*.txt", "*.jinja")
MODELS = {
    "vega3d-sr-7b": (
        Source("H-EmbodVis/VEGA-3D-Spatial-Reasoning", ("*.safetensors", *_TEXT)),
        Source("Wan-AI/Wan2.1-T2V-1.3B", ("config.json", "Wan2.1_VAE.pth"), "wan"),
    ),
    "wan2.1-t2v-1.3b": (
        Source(
            "Wan-AI/Wan2.1-T2V-1.3B",
            ("config.json", "Wan2.1_VAE.pth", "diffusion_pytorch_model*.safetensors"),
        ),
    ),
    "wan2.1-text-encoder": (
        Source("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", ("text_encoder/*", "tokenizer/*")),
    ),
}
"""What can be downloaded, by name."""

DETECTORS_OF = {"photo-cpu": ("nanodet-plus-m_416.onnx", "yolox_nano.onnx")}
"""What shipped models lack: the detectors of which they need one, by name."""

NAMES = sorted({*MODELS, *DETECTORS_OF})

# The prompt embedding lies in the official source repository, at this commit, as this git blob.
PROMPT_URL = (
    "https://raw.githubusercontent.com/H-EmbodVis/VEGA-3D/"
    "9c96924cdd376692b3e35e49460796cc3fb19f5b/"
    "llava/model/multimodal_generative_encoder/wan_prompt_embedding.pt"
)
PROMPT_BLOB = "806819a42077debee9f44fd2001c76809b326cc9"
_PROMPT_INTO = {"vega3d-sr-7b": "wan", "wan2.1-t2v-1.3b": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line of ``vega3d download``."""
    parser.description = (
        "Download a released model and what it needs. Afterwards its name can be given wherever a "
        "model is asked for. No other command touches the network."
    )
    known = ", ".join(NAMES)
    parser.add_argument("name", help=f"{known}, or a model of the hub, organisation/name")
    parser.add_argument("--revision", help="of a model of the hub: branch, tag or commit")
    parser.add_argument(
        "--to",
        type=Path,
        help=f"folder (default: NAME below {downloads()}, detectors/ there, or the hub's cache: "
        "where it is found)",
    )


def run(args: argparse.Namespace) -> int:
    """Download.

    Raises:
        CheckpointError: If a model of the hub, or a detector, cannot be downloaded.
        OfficialError: If the name is unknown, or a file cannot be had or is not the one meant.
    """
    if args.name in DETECTORS_OF:
        say: Callable[[str], None] = lambda text: Console().print(  # noqa: E731
            text, highlight=False, soft_wrap=True
        )
        place = args.to or detector_downloads()
        file = download_first(DETECTORS_OF[args.name], place, say)
        say(f"{args.name} is complete with {file}; `vega3d inspect {args.name}` says what it is")
        return 0
    if args.name in MODELS:
        folder = download(args.name, args.to)
    elif is_hub_id(args.name):
        folder = hub_folder(args.name, revision=args.revision, download=True, to=args.to)
    else:
        msg = (
            f"unknown model {args.name!r}; known: {', '.join(NAMES)}, and models of the hub as "
            "organisation/name"
        )
        raise OfficialError(msg)
    Console().print(f"{args.name} is in {folder}; `vega3d inspect {folder}` says what it is")
    return 0


def download(name: str, to: Path | None = None) -> Path:
    """Download a model of :data:`MODELS`; files that are there already are kept.

    Args:
        name: Its name.
        to: The folder; None for the one where it is found by name.

    Returns:
        The folder.

    Raises:
        OfficialError: If a file cannot be had or is not the one that is meant.
    """
    folder = to or downloads() / name
    for source in MODELS[name]:
        _download_files(source, folder / source.below)
    if name in _PROMPT_INTO:
        _download_prompt(folder / _PROMPT_INTO[name] / "wan_prompt_embedding.pt")
    return folder


def _download_files(source: Source, folder: Path) -> None:
    try:
        snapshot_download(
            source.repository, local_dir=folder, allow_patterns=list(source.patterns)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        msg = f"{source.repository} cannot be downloaded: {error}"
        raise OfficialError(msg) from error


def _download_prompt(file: Path) -> None:
    if file.is_file():
        return
    try:
        with urlopen(PROMPT_URL, timeout=60) as answer:
            content = answer.read()
    except (URLError, TimeoutError) as error:
        msg = f"{PROMPT_URL} cannot be downloaded: {error}; or make one with `vega3d prompt`"
        raise OfficialError(msg) from error
    if _blob(content) != PROMPT_BLOB:
        msg = f"{PROMPT_URL} is not the file that is known; make one with `vega3d prompt`"
        raise OfficialError(msg)
    file.write_bytes(content)


def _blob(content: bytes) -> str:
    """The name that git gives to a file's content."""
    head = b"blob %d\0" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
