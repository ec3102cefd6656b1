"""``vega3d download``: the only command that touches the network."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console

from vega3d_ros.core.json_io import read_object
from vega3d_ros.models.checkpoints.auto_model import PHOTO_MODELS
from vega3d_ros.models.checkpoints.hub import hub_folder, is_hub_id
from vega3d_ros.models.checkpoints.hub_download import download_files, git_blob
from vega3d_ros.models.checkpoints.model_paths import (
    detector_downloads,
    downloads,
    needed_parts,
    places,
    shipped,
)
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.official.layout import OfficialError
from vega3d_ros.models.checkpoints.part_download import Download

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class Source:
    """Files of a Hugging Face repository, and where they go.

    Attributes:
        repository: Its id.
        patterns: Which files.
        license: Of the weights, as the authors state it; one of ``published.LICENSES``.
        below: Folder below the model's own.
    """

    repository: str
    patterns: tuple[str, ...]
    license: str = "Apache-2.0"
    below: str = ""


_TEXT = ("*.json", "*.txt", "*.jinja")
MODELS = {
    "vega3d-sr-7b": (
        Source("H-EmbodVis/VEGA-3D-Spatial-Reasoning", ("*.safetensors", *_TEXT)),
        Source("Wan-AI/Wan2.1-T2V-1.3B", ("config.json", "Wan2.1_VAE.pth"), below="wan"),
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
"""What can be downloaded, by name, beside the parts of shipped models."""

NAMES = sorted({*MODELS, *PHOTO_MODELS})

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
        "model is asked for. No other command touches the network. What breaks off goes on where "
        "it was when the same command runs again."
    )
    known = ", ".join(NAMES)
    parser.add_argument("name", help=f"{known}, or a model of the hub, organisation/name")
    parser.add_argument("--revision", help="of a model of the hub: branch, tag or commit")
    parser.add_argument(
        "--yes", action="store_true", help="agree to the licences that are shown, without asking"
    )
    parser.add_argument(
        "--to",
        type=Path,
        help=f"folder (default: NAME below {downloads()}, detectors/ there, or the hub's cache: "
        "where it is found)",
    )


def run(args: argparse.Namespace) -> int:
    """Download.

    Raises:
        CheckpointError: If something cannot be downloaded, or nobody agrees to its licence.
        OfficialError: If the name is unknown, or a file is not the one meant.
    """
    console = Console()
    if args.name in PHOTO_MODELS:
        return _download_parts(args.name, args.to, console, agreed=args.yes)
    if args.name in MODELS:
        _tell(args.name, console)
        _agree(console, agreed=args.yes)
        folder = download(args.name, args.to)
    elif is_hub_id(args.name):
        folder = hub_folder(args.name, revision=args.revision, download=True, to=args.to)
    else:
        msg = (
            f"unknown model {args.name!r}; known: {', '.join(NAMES)}, and models of the hub as "
            "organisation/name"
        )
        raise OfficialError(msg)
    console.print(f"{args.name} is in {folder}; `vega3d inspect {folder}` says what it is")
    return 0


def _download_parts(name: str, to: Path | None, console: Console, *, agreed: bool) -> int:
    """Fetch what a shipped model lacks."""
    parts = needed_parts(read_object(shipped() / name / "model.json"))
    networks = [one for what, (one, *_) in parts.items() if what == "networks"]
    files = [names for what, names in parts.items() if what != "networks"]
    fetcher = Download(to or detector_downloads(), console)
    lacking = []
    for names in files:
        if (here := fetcher.here(names)) is not None:
            fetcher.say(f"{here.name} is there already")
        else:
            fetcher.tell(names)
            lacking.append(names)
    into = {model: None if to is None else to / model for model in networks}
    absent = [model for model in networks if not _is_there(model, into[model])]
    for model in absent:
        _tell(model, console)
    if lacking or absent:
        _agree(console, agreed=agreed)
    for names in lacking:
        fetcher.first(names)
    for model in absent:
        download(model, into[model])
    fetcher.say(f"{name} is complete; `vega3d inspect {name}` says what it is")
    if to is not None:
        fetcher.say(f"set VEGA3D_MODELS={to} so that it is found")
    return 0


def _is_there(model: str, folder: Path | None) -> bool:
    return any(one.is_dir() for one in ((folder,) if folder else places(model)))


def _tell(model: str, console: Console) -> None:
    for source in MODELS[model]:
        url = f"https://huggingface.co/{source.repository}"
        console.print(
            f"{model}: licence {source.license}, from {url}\n"
            "  not verified: no commit is pinned, and only the sizes of its files are compared",
            highlight=False,
            soft_wrap=True,
        )


def _agree(console: Console, *, agreed: bool) -> None:
    """Ask whether to download under the licences that were shown.

    Raises:
        CheckpointError: If the answer is no, or there is nobody to ask.
    """
    if agreed:
        return
    if not sys.stdin.isatty():
        msg = "nobody is here to agree to these licences; give --yes to agree and download"
        raise CheckpointError(msg)
    if console.input("Download under these licences? [y/N] ").strip().lower() not in {"y", "yes"}:
        msg = "nothing was downloaded"
        raise CheckpointError(msg)


def download(name: str, to: Path | None = None) -> Path:
    """Download a model of :data:`MODELS`; files that are there already are kept.

    Until it is complete, it lies in a folder beside its own.

    Args:
        name: Its name.
        to: The folder; None for the one where it is found by name.

    Returns:
        The folder.

    Raises:
        CheckpointError: If a file cannot be had.
        OfficialError: If the prompt embedding cannot be had or is not the one that is meant.
    """
    folder = to or downloads() / name
    work = folder if folder.is_dir() else folder.with_name(f"{folder.name}.part")
    for source in MODELS[name]:
        download_files(source.repository, work / source.below, source.patterns)
    if name in _PROMPT_INTO:
        _download_prompt(work / _PROMPT_INTO[name] / "wan_prompt_embedding.pt")
    if work != folder:
        work.rename(folder)
    return folder


def _download_prompt(file: Path) -> None:
    if file.is_file():
        return
    try:
        with urlopen(PROMPT_URL, timeout=60) as answer:
            content = answer.read()
    except (URLError, TimeoutError) as error:
        msg = f"{PROMPT_URL} cannot be downloaded: {error}; or make one with `vega3d prompt`"
        raise OfficialError(msg) from error
    if git_blob(content) != PROMPT_BLOB:
        msg = f"{PROMPT_URL} is not the file that is known; make one with `vega3d prompt`"
        raise OfficialError(msg)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
