"""``vega3d benchmark``: a model on a published benchmark, beside baselines without images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vega3d_ros import __version__
from vega3d_ros.core.arguments import add_out, positive
from vega3d_ros.core.console import give, remarks, results, track
from vega3d_ros.core.json_io import read_lines
from vega3d_ros.evaluation.benchmark_run import (
    Predictions,
    Run,
    Shard,
    joined,
    scored_row,
)
from vega3d_ros.evaluation.provenance import located, provenance
from vega3d_ros.evaluation.report.pages import figure_table, write_figures
from vega3d_ros.evaluation.run_folder import RunFolder, default_folder
from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.sources.benchmark import existing
from vega3d_ros.evaluation.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from vega3d_ros.evaluation.metrics.intervals import Estimate
    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.evaluation.sources.benchmark import Row, SceneReader, Task

_ABOUT = """\
Asks a model the questions of a published benchmark with the official prompts and frames, writes
its predictions as the official evaluator reads them, and scores them. Interrupt and repeat it
freely: it continues where it stopped. Data is never downloaded; missing files are named.

  vsi-bench       FOLDER is the downloaded data set: test.jsonl and SOURCE/SCENE.mp4
  scanrefer, multi3drefer, scan2cap, scanqa, sqa3d
                  FOLDER is the data folder of Video-3D-LLM: processed/, metadata/, embodiedscan/,
                  scannet/posed_images/
"""
_EXAMPLES = """\
examples:
  vega3d benchmark vsi-bench --data VSI-Bench --model nano --frames 8 --limit 100
  vega3d benchmark scanrefer --data data --model MODEL --shard 1/4
  vega3d benchmark scanqa --data data --predictions results/scanqa/run.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``vega3d benchmark``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _EXAMPLES
    parser.add_argument("benchmark", choices=TASKS, metavar="BENCHMARK", help=", ".join(TASKS))
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="see above")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--model", help="name of a shipped model, or a model folder")
    who.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="score prediction files instead, of this command or of the official code",
    )
    add_out(parser, "folder for results (default: runs/BENCHMARK-MODEL-DATE)")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="only the first N questions of the file"
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=Shard(),
        metavar="I/N",
        help="only the I-th of N parts, by scene; all may share --out, and the last scores all",
    )
    parser.add_argument(
        "--frames",
        type=positive,
        default=32,
        help="frames of each scene (default: %(default)s, as officially)",
    )
    parser.add_argument(
        "--batch",
        type=positive,
        default=16,
        help="questions asked at once (default: %(default)s); fewer need less memory",
    )
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FOLDER",
        help="keeps the prior's tokens of each scene, for the next run or another benchmark of "
        "the same scenes (default: OUT/features; 5 MB a frame for Wan2.1 at 832x480 in bfloat16)",
    )
    parser.add_argument(
        "--no-features", action="store_true", help="keep no tokens: saves disk, costs time"
    )
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the weights (default: %(default)s)",
    )


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(args: argparse.Namespace) -> int:
    """Ask, write and score.

    Raises:
        RunError: If data or predictions cannot be used.
        CheckpointError: If the model cannot be loaded.
    """
    console = remarks()
    task = TASKS[args.benchmark]
    existing(args.data, "give --data the folder of the benchmark's data")
    questions = task.questions(args.data)
    reader = task.reader(args.data)
    asked = questions[: args.limit]
    name = Path(args.model).name if args.model else "predictions"
    out = args.out or default_folder(task.name, name)
    settings: Row = {"kind": "benchmark", "benchmark": task.name, "package": __version__}
    if args.predictions:
        made = provenance(name, None, "")
        files = [path.resolve() for path in args.predictions]
        if args.overwrite and {*files} & {*out.resolve().glob("predictions*.jsonl")}:
            msg = f"{out} holds the predictions themselves; give another folder with --out"
            raise RunError(msg)
        settings |= {"model": _model(made), "predictions": [str(file) for file in files]}
        folder = RunFolder(out, settings, overwrite=args.overwrite, resumes=True)
        predictions = [row for path in args.predictions for row in read_lines(path)]
    else:
        made = provenance(args.model, located(args.model), args.device)
        settings["model"] = _model(made)
        settings |= {"frames": args.frames, "dtype": args.dtype}
        folder = RunFolder(out, settings, overwrite=args.overwrite, resumes=True)
        # What is kept of scenes belongs to no run: its names say what made it.
        _ask(args, task, asked, reader, folder.path, args.features or out / "features", console)
        predictions = _gathered(folder.path, task)
    wanted = {question.id for question in asked}
    rows = [r for r in joined(task, questions, predictions) if str(r[task.key]) in wanted]
    if not rows:
        msg = "there is no prediction to score"
        raise RunError(msg)
    with console.status("scoring"):
        figures = {name: task.summarise(rows)} | _guessed(task, questions, reader, rows)

    answered = len({row[task.key] for row in rows})
    refused = sum("refused" in row for row in rows)
    settings |= {"questions": len(asked), "answered": answered, "refused": refused}
    title = f"{name} on {task.name}"
    note = f"{answered} of {len(asked)} questions answered, {refused} of them refused as asked."
    section = figure_table(title, figures, "scenes (CIDEr x 100)", [note], headline=task.headline)
    document = write_figures(folder.path, section, settings, figures, made)
    folder.finish()
    shown = results()
    shown.print(*section.rich(shown.width))
    give(document)
    if answered < len(asked):
        console.print("Not all questions are answered yet: other shards, or an interrupted run.")
    if refused:
        console.print(f"{refused} questions were refused; their rows say why in 'refused'.")
    console.print(f"written to {out}: report.html, report.md and report.json")
    return 0


def _model(made: Row) -> Row:
    return {name: made["model"][name] for name in ("name", "sha256")}


def _guessed(
    task: Task, questions: Sequence[Question], reader: SceneReader, rows: Sequence[Row]
) -> dict[str, dict[str, Estimate]]:
    """Figures of each baseline, of the questions that ``rows`` answer."""
    answered = {str(row[task.key]) for row in rows}
    figures = {}
    for name, guess in task.baselines.items():
        guesses = zip(questions, guess(questions, reader), strict=True)
        figures[name] = task.summarise(
            [scored_row(question, row) for question, row in guesses if question.id in answered]
        )
    return figures


def _ask(
    args: argparse.Namespace,
    task: Task,
    questions: Sequence[Question],
    reader: SceneReader,
    out: Path,
    features: Path,
    console: Console,
) -> None:
    """Answer what is not answered yet."""
    import torch  # noqa: PLC0415 - slow to import, and not needed to score

    from vega3d_ros.evaluation.sources.features import StoredPrior, prior_digest  # noqa: PLC0415
    from vega3d_ros.perception.perceiver import Perceiver  # noqa: PLC0415

    with console.status(f"loading {args.model}"):
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[args.dtype]
        perceiver = Perceiver.from_pretrained(args.model, device=args.device, dtype=dtype)
        modules = perceiver.modules
    if modules.prior is not None and not args.no_features:
        digest = prior_digest(modules.prior)
        modules.prior = StoredPrior(modules.prior, digest, features, dtype)
    predictions = Predictions(out, args.shard, task.key)
    left = {
        scene: [question for question in group if question.id not in predictions.done]
        for scene, group in args.shard.of(questions).items()
    }
    left = {scene: group for scene, group in left.items() if group}
    if predictions.done:
        console.print(f"{len(predictions.done)} questions are answered in {predictions.path}")
    runner = Run(task, Path(args.model).name, args.frames, args.batch)
    answers = runner.answers(perceiver, reader, left)
    for rows in track(answers, "scenes", len(left)):
        predictions.add(rows)


def _gathered(out: Path, task: Task) -> list[Row]:
    """The rows of all shards, each question once."""
    found: dict[str, Row] = {}
    for path in sorted(out.glob("predictions*.jsonl")):
        found |= {str(row.get(task.key)): row for row in read_lines(path)}
    return list(found.values())
