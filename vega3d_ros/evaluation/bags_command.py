"""``vega3d evaluate BAG...``: recordings through a model, offline, and a report."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from rich.table import Table

from vega3d_ros.core.console import give, progress, remarks, results
from vega3d_ros.core.json_io import read_json
from vega3d_ros.evaluation.bag_run import (
    COMPLETE,
    FAILED,
    PARTIAL,
    ROWS,
    BagRun,
    is_done,
    read_record,
    read_run,
    run_settings,
)
from vega3d_ros.evaluation.provenance import provenance
from vega3d_ros.evaluation.report.recordings import BAGS, write_report
from vega3d_ros.evaluation.run import (
    LOCAL,
    check_memory,
    load_model,
    run_here,
    run_in_workers,
    run_on_ray,
)
from vega3d_ros.evaluation.run_folder import RunFolder, default_folder
from vega3d_ros.evaluation.schema import ResultRows, RunError
from vega3d_ros.models.checkpoints.auto_model import SIMULATION_MODEL, resolve
from vega3d_ros.perception.settings import load_parameters
from vega3d_ros.sensing.bags.reader import BagError, open_bag

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from vega3d_ros.evaluation.report.section import Section
    from vega3d_ros.perception.settings import Parameters

INTERRUPTED = 130
SOME_FAILED = 1


def run(args: argparse.Namespace, bags: Sequence[Path]) -> int:
    """Evaluate recordings; returns the exit status."""
    from vega3d_ros.models.checkpoints.device_memory import pick_device  # noqa: PLC0415 - imports torch
    from vega3d_ros.models.checkpoints.load import locate  # noqa: PLC0415

    console = remarks()
    parameters = load_parameters(
        args.params,
        model=args.model or (SIMULATION_MODEL if args.params is None else None),
        device=args.device,
        min_score=args.min_score,
        threads=args.threads,
        camera_frame=args.camera_frame,
        rectification=args.rectification,
        depth_scale=args.depth_scale,
    )
    model, note = resolve(parameters.model, parameters.device)
    parameters = replace(parameters, model=model)
    if note:
        console.print(note, style="yellow", highlight=False)
    # The machines of a cluster may have another device than this one.
    device = parameters.device if args.ray else pick_device(parameters.device)
    made_with = provenance(parameters.model, locate(parameters.model), device)
    out: Path = args.out or default_folder("evaluation", parameters.model)
    sha256 = made_with["model"]["sha256"]
    settings = run_settings(_jobs(args, out, bags, parameters, sha256))
    run_folder = RunFolder(out, settings, overwrite=args.overwrite, resumes=True)
    jobs = _jobs(args, run_folder.path, bags, parameters, sha256)
    todo = [job for job in jobs if not is_done(job)]
    for job in jobs:
        if job not in todo:
            console.print(f"{job.name}: done by an earlier run", highlight=False)
    if todo:
        console.print(f"model {parameters.model}: {made_with['model']['card']}", highlight=False)
    for job in todo:
        _introduce(job, console)
    interrupted = False
    try:
        _do(todo, args, parameters, console)
    except KeyboardInterrupt:
        interrupted = True
    made_with["settings"] = {
        "parameters": asdict(parameters),
        "workers": args.workers,
        "ray": args.ray,
    }
    title = f"{made_with['model']['name']} on recordings"
    found, tables = write_report(run_folder.path, *read_run(run_folder.path), made_with, title)
    give(found)
    status = _conclude(jobs, tables, console, out)
    if interrupted or status == INTERRUPTED:
        console.print("interrupted; the same command continues where it stopped")
        return INTERRUPTED
    if any(is_done(job) for job in jobs):
        run_folder.finish()
    return status


def _jobs(
    args: argparse.Namespace, out: Path, bags: Sequence[Path], parameters: Parameters, sha256: str
) -> list[BagRun]:
    fixed_frame = args.fixed_frame
    if fixed_frame is None and args.params is not None:
        fixed_frame = parameters.fixed_frame
    names = _names(bags)
    return [
        BagRun(
            bag=bag,
            name=name,
            folder=out / BAGS / name,
            model_hash=sha256,
            parameters=parameters,
            image=args.image,
            camera_info=args.camera_info,
            depth=args.depth,
            tf=args.tf,
            truth=args.truth,
            questions=args.questions,
            fixed_frame=fixed_frame,
        )
        for bag, name in zip(bags, names, strict=True)
    ]


def _names(bags: Sequence[Path]) -> list[str]:
    """A name for each recording: its own, with its folder's where two are equal."""
    paths = [bag.resolve() for bag in bags]
    stems = [path.stem for path in paths]
    names = [
        path.stem if stems.count(path.stem) == 1 else f"{path.parent.name}-{path.stem}"
        for path in paths
    ]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        msg = f"recordings of one name and folder: {', '.join(twice)}; run them separately"
        raise RunError(msg)
    return names


def _introduce(job: BagRun, console: Console) -> None:
    """Print the topics of a recording."""
    say: Callable[[str], None] = lambda text: console.print(text, highlight=False)  # noqa: E731
    say(f"[bold]{job.name}[/]: {job.bag}")
    try:
        with open_bag(job.bag) as bag:
            topics = job.topics(bag)
            say(f"  {bag.duration_s:.1f} s, {bag.counts[topics.image]} images")
            for name, topic in (
                ("image", f"{topics.image} ({bag.topics[topics.image]})"),
                ("camera_info", topics.camera_info),
                ("depth", topics.depth),
                ("transforms", ", ".join(topics.tf)),
                ("results in", topics.fixed_frame or topics.frame_id),
            ):
                say(f"  {name:<12}{topic or 'none'}")
            for note in (*bag.notes, *bag.damage, *topics.notes):
                say(f"  {note}")
    except BagError as error:
        say(f"  [red]{error}[/]")


def _do(
    todo: Sequence[BagRun], args: argparse.Namespace, parameters: Parameters, console: Console
) -> None:
    if not todo:
        return
    with progress(console) as tell:
        workers = min(args.workers, len(todo))
        if workers > 1 and args.ray in (None, LOCAL):
            check_memory(workers, parameters)
        if args.ray:
            run_on_ray(todo, args.ray, args.workers, tell)
        elif workers > 1:
            run_in_workers(todo, workers, tell)
        else:
            run_here(todo, load_model(parameters), tell)


def _conclude(
    jobs: Sequence[BagRun], tables: Sequence[Section], console: Console, out: Path
) -> int:
    table = Table(title="recordings")
    for column in ("recording", "status", "scenes", "answers", "objects seen", "remarks"):
        table.add_column(column, overflow="fold")
    statuses = []
    for job in jobs:
        record = read_record(job.folder) or {"status": "not begun"}
        statuses.append(record["status"])
        rows = (
            ResultRows.read(read_json(job.folder / ROWS))
            if record["status"] in (COMPLETE, PARTIAL)
            else ResultRows()
        )
        said = [record.get("error"), record.get("damage"), *record.get("warnings", ())]
        said += record.get("frames", {}).get("notes", [])
        table.add_row(
            job.name,
            record["status"],
            str(record.get("figures", {}).get("scenes", "")),
            str(len(rows.answers)),
            str(len(rows.objects)),
            "; ".join(filter(None, said)),
        )
    shown = results()
    shown.print(table, *(part for section in tables for part in section.rich(shown.width)))
    console.print(f"written to {out}: report.html, report.md, results.json", highlight=False)
    if FAILED in statuses:
        return SOME_FAILED
    return 0 if all(status == COMPLETE for status in statuses) else INTERRUPTED
