"""``vega3d evaluate M --split``: a model on simulated clips, beside baselines."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from vega3d_ros import __version__
from vega3d_ros.core.console import give, remarks, results, track
from vega3d_ros.core.json_io import write_json
from vega3d_ros.evaluation.baselines.clips import Blind, Constant
from vega3d_ros.evaluation.provenance import identity, located, provenance
from vega3d_ros.evaluation.report.pages import figure_table, write_figures
from vega3d_ros.evaluation.run_folder import RunFolder, default_folder
from vega3d_ros.evaluation.sim_eval import SceneModel, evaluate, summarise
from vega3d_ros.evaluation.sources.clips import open_clips

if TYPE_CHECKING:
    import argparse

    from vega3d_ros.evaluation.sim_eval import Results
    from vega3d_ros.evaluation.sources.clips import Respondent
    from vega3d_ros.perception.perceiver import Perceiver

# Baselines need far fewer clips than a model.
_TRAINING_MADE, _TRAINING_READ = 200, 1000
_NOTE = (
    "{clips} simulated clips of the {split} split; {seconds:.0f} s for {respondents} respondents. "
    "Boxes: axis-aligned overlap unless headings are named; a query to which nothing was returned "
    "is a miss. Thick: no side shorter than 15 cm."
)

_NO_OBJECTS = "This model finds no objects: it was only asked questions."


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the report.

    Raises:
        CheckpointError: If a model cannot be loaded.
        DatasetError: If ``--data`` holds no such clips.
        RenderError: If clips must be made and rendering is impossible here.
    """
    console = remarks()
    clips = open_clips(args.data, args.split, args.clips, args.furniture, console)
    training_data = args.data if args.data and (args.data / "train").is_dir() else None
    training_clips = open_clips(training_data, "train", _TRAINING_MADE, args.furniture, console)
    count = min(args.clips, len(clips))
    out: Path = args.out or default_folder(f"evaluation-{args.split}", args.model)
    asked = {
        "kind": "clips",
        "model": identity(args.model, located(args.model)),
        "split": args.split,
        "clips": count,
        "data": str(args.data or "generated"),
        "furniture": bool(args.furniture),
        "controls": {
            name: identity(folder, located(folder))
            for name in ("blind", "no_prior", "random_prior")
            if (folder := getattr(args, f"{name}_model"))
        },
        "version": __version__,
    }
    run_folder = RunFolder(out, asked, overwrite=args.overwrite, resumes=False)

    perceivers = {"": _load(args.model, args.device)}
    for name in ("no_prior", "random_prior"):
        folder = getattr(args, f"{name}_model")
        if folder:
            perceivers[name.replace("_", " ")] = _load(folder, args.device)
    respondents: list[Respondent] = []
    for name, perceiver in perceivers.items():
        heading = name or Path(args.model).name
        respondents += [
            SceneModel(f"{heading}, {words}", perceiver, depth=depth, grounds=perceiver.grounds)
            for words, depth in (("depth", True), ("no depth", False))
        ]
    if args.blind_model:
        blind = _load(args.blind_model, args.device)
        respondents.append(SceneModel("trained blind", blind, depth=False, grounds=False))
    training = [training_clips[i] for i in range(min(_TRAINING_READ, len(training_clips)))]
    grid = perceivers[""].modules.language.grid
    respondents += [Blind(training, grid), Constant(training, grid)]

    start = time.monotonic()
    records = (clips[i] for i in range(count))
    answers: list[Results] = []
    for answers in track(evaluate(respondents, records), "asking", count):  # noqa: B007 - the last value holds everything
        pass
    spent_s = time.monotonic() - start
    settings = {
        "model": str(args.model),
        "split": args.split,
        "clips": count,
        "data": str(args.data or "generated"),
        "furniture": bool(args.furniture),
        "package": __version__,
        "seconds": round(spent_s, 1),
        "threads": _threads(),
    }
    notes = [
        perceivers[""].card,
        "" if perceivers[""].grounds else _NO_OBJECTS,
        _NOTE.format(clips=count, split=args.split, seconds=spent_s, respondents=len(respondents)),
    ]
    title = f"{Path(args.model).name} on {count} {args.split} clips"
    figures = {result.name: summarise(result) for result in answers}
    section = figure_table(title, figures, "clips", notes)
    document = write_figures(
        run_folder.path,
        section,
        settings,
        figures,
        provenance(args.model, located(args.model), args.device),
    )
    rows = {result.name: result.rows.json() for result in answers}
    write_json(run_folder.path / "rows.json", rows, indent=None)
    run_folder.finish()
    shown = results()
    shown.print(*section.rich(shown.width))
    give(document)
    console.print(
        f"{spent_s:.0f} s; written to {out}: report.html, report.md, report.json, rows.json",
        highlight=False,
    )
    return 0


def _load(model: str, device: str) -> Perceiver:
    from vega3d_ros.models.checkpoints.device_memory import pick_device, pick_dtype  # noqa: PLC0415 - torch is slow to import
    from vega3d_ros.perception.perceiver import Perceiver  # noqa: PLC0415

    device = pick_device(device)
    perceiver = Perceiver.from_pretrained(model, device=device, dtype=pick_dtype("auto", device))
    # Only the text of an answer is scored, so its objects need not be detected.
    perceiver.queries = ()
    return perceiver


def _threads() -> int:
    import torch  # noqa: PLC0415

    return torch.get_num_threads()
