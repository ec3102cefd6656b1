"""The demo's report: tables for the terminal, report.md and report.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table as RichTable

from vega3d_ros.core.json_io import finite
from vega3d_ros.evaluation.results import relation_words
from vega3d_ros.evaluation.scoring import (
    CLOSE_ENOUGH,
    Comparison,
    compare_objects,
    is_right,
    relation_is_right,
    true_relation,
)
from vega3d_ros.models.checkpoints.auto_model import ELSEWHERE_NOTE, SIMULATION_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vega3d_ros.core.geometry import SE3
    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.evaluation.question_file import Truth
    from vega3d_ros.evaluation.recorded_outputs import RecordedOutputs
    from vega3d_ros.evaluation.replies import RelationReply, Reply, RunResult

NANO_NOTE = (
    "nano: trained on simulated rooms, a stand-in that shows the method whole, "
    "not VEGA-3D's numbers."
)
NO_TRUTH_NOTE = "No truth.json lies in this bag, so nothing is scored."
_SHOWN = 20
_SHOWN_EXTRA = 6
_MARKS = {True: "right", False: "wrong", None: ""}
_STYLES = {"right": "green", "wrong": "red"}


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: Above it.
        columns: Names; a leading ">" sets a column flush right.
        rows: As long as ``columns``.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def without_empty_columns(self) -> Table:
        """The table without empty columns."""
        kept = [i for i in range(len(self.columns)) if any(row[i] for row in self.rows)]
        rows = [tuple(row[i] for i in kept) for row in self.rows]
        return Table(self.title, tuple(self.columns[i] for i in kept), rows)

    def rich(self) -> RichTable:
        table = RichTable(title=escape(self.title), title_justify="left", title_style="bold")
        for name in self.columns:
            table.add_column(
                escape(name.lstrip(">")),
                justify="right" if name.startswith(">") else "left",
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*(f"[{_STYLES[c]}]{c}[/]" if c in _STYLES else escape(c) for c in row))
        return table

    def markdown(self) -> str:
        lines = [
            "| " + " | ".join(name.lstrip(">") for name in self.columns) + " |",
            "|"
            + "|".join("--:" if name.startswith(">") else "---" for name in self.columns)
            + "|",
        ]
        lines += [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows
        ]
        return f"## {self.title}\n\n" + "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Report:
    """The tables and figures of a run; ``notes`` come before the tables."""

    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: Mapping[str, Any]

    def markdown(self) -> str:
        notes = "".join(f"> {note}\n>\n" for note in self.notes).removesuffix(">\n")
        pictures = "![frames with boxes and gate](frames.png)\n\n![map](map.png)\n"
        return "\n".join(
            ["# vega3d demo\n", notes, *(table.markdown() for table in self.tables), pictures]
        )

    def json(self) -> str:
        """The text of report.json; unknown values are null."""
        return json.dumps(finite(self.figures), indent=2) + "\n"


def make_report(
    model: str,
    result: RunResult,
    outputs: RecordedOutputs,
    path: Mapping[int, SE3],
    truth: Truth | None,
    wall_s: float,
) -> Report:
    """Score a run and make its tables; ``path`` has camera poses by stamp in the truth's frame."""
    comparison = None
    if truth is not None and result.fixed_frame == truth.fixed_frame:
        comparison = compare_objects(result.mapped_objects, truth)
    questions, answer_marks = _question_table(result.replies)
    relations, relation_marks = _relation_table(result.relations, truth, path)
    tables = [questions, relations]
    if comparison is None:
        tables.append(_found_table(result))
    else:
        assert truth is not None
        tables.append(_object_table(comparison, truth))
    figures = _figures(result, outputs, comparison, truth)
    figures["answers_right"], figures["answers_scored"] = _count_right(answer_marks)
    figures["relations_right"], figures["relations_scored"] = _count_right(relation_marks)
    figures["wall_s"] = round(wall_s, 1)
    tables.append(_figure_table(figures, outputs))
    return Report(notes_of(model, truth), tuple(tables), {"model": model, **figures})


def notes_of(model: str, truth: Truth | None) -> tuple[str, ...]:
    """What must be said of a model before its results on a recording."""
    notes = [NANO_NOTE] if model == SIMULATION_MODEL else []
    if truth is None:
        notes.append(NO_TRUTH_NOTE)
        if model == SIMULATION_MODEL:
            notes.append(ELSEWHERE_NOTE)
    return tuple(notes)


def surest(objects: Sequence[SceneObject]) -> tuple[SceneObject, ...]:
    """The objects with the highest scores, as many as a table shows."""
    return tuple(sorted(objects, key=lambda item: -item.score)[:_SHOWN])


def _question_table(replies: Sequence[Reply]) -> tuple[Table, list[bool | None]]:
    rows, marks = [], []
    for reply in replies:
        truth = reply.question.answer
        right = None if truth is None else is_right(reply.question.kind, truth, reply.text)
        marks.append(right)
        rows.append(
            (
                f"{reply.asked_at_s:.1f}",
                reply.question.text,
                reply.error or reply.text,
                truth or "",
                _MARKS[right],
                f"{reply.latency_ms:.0f}",
            )
        )
    columns = (">at [s]", "question", "answer", "truth", "", ">latency [ms]")
    note = f"; a length within {CLOSE_ENOUGH:.0%} is right" if _count_right(marks)[1] else ""
    title = f"Questions ({_share(marks)}{note})"
    return Table(title, columns, rows).without_empty_columns(), marks


def _relation_table(
    replies: Sequence[RelationReply], truth: Truth | None, path: Mapping[int, SE3]
) -> tuple[Table, list[bool | None]]:
    rows, marks = [], []
    for reply in replies:
        question, expected, right = reply.question, None, None
        camera = _viewpoint(reply, path)
        if truth is not None and camera is not None:
            expected = true_relation(question, truth, camera)
        if expected is not None:
            right = relation_is_right(expected, () if reply.error else reply.predicates)
        marks.append(right)
        rows.append(
            (
                f"{reply.asked_at_s:.1f}",
                f"the {question.subject} from the {question.object}",
                reply.error or relation_words(reply.predicates, reply.distance_m),
                ""
                if expected is None
                else relation_words(expected.predicates, expected.distance_m),
                _MARKS[right],
                f"{reply.latency_ms:.0f}",
            )
        )
    columns = (">at [s]", "how lies ...", "answer", "truth", "", ">latency [ms]")
    title = f"Relations seen from the camera ({_share(marks)})"
    return Table(title, columns, rows).without_empty_columns(), marks


def _viewpoint(reply: RelationReply, path: Mapping[int, SE3]) -> SE3 | None:
    """The camera pose of a relation; after an error, that of the time of asking."""
    stamp = reply.stamp_ns
    if reply.error and path:
        asked_ns = min(path) + round(reply.asked_at_s * 1e9)
        stamp = min(path, key=lambda known: abs(known - asked_ns))
    return path.get(stamp)


def _object_table(comparison: Comparison, truth: Truth) -> Table:
    extra = sorted(comparison.extra, key=lambda item: -item.score)
    rows = [
        (
            match.id,
            match.found.label,
            f"{match.found.score:.2f}",
            f"{match.error_m:.2f}",
            f"{match.iou:.2f}",
            str(match.found.observations),
        )
        for match in comparison.matches
    ]
    rows += [
        (name, truth.objects[name].label, "not found", "", "", "") for name in comparison.missed
    ]
    rows += [
        ("none near", item.label, f"{item.score:.2f}", "", "", str(item.observations))
        for item in extra[:_SHOWN_EXTRA]
    ]
    if len(extra) > _SHOWN_EXTRA:
        rows.append(("none near", f"{len(extra) - _SHOWN_EXTRA} more", "", "", "", ""))
    columns = ("true object", "label", ">score", ">pose error [m]", ">IoU", ">seen in")
    hits, seen = len(comparison.matches), len(comparison.matches) + len(comparison.missed)
    title = f"Objects remembered ({hits} of {seen} found, {len(extra)} more where there is none)"
    return Table(title, columns, rows)


def _found_table(result: RunResult) -> Table:
    rows = []
    for item in surest(result.mapped_objects):
        x, y, z = item.box.center
        size = " x ".join(f"{extent:.2f}" for extent in item.box.size)
        rows.append(
            (
                item.label,
                f"{item.score:.2f}",
                f"{x:.2f}, {y:.2f}, {z:.2f}",
                size,
                str(item.observations),
            )
        )
    columns = (
        "label",
        ">score",
        f"centre in {result.fixed_frame or '?'} [m]",
        "size [m]",
        ">seen in",
    )
    title = f"Objects remembered ({len(result.mapped_objects)}; the surest {len(rows)})"
    return Table(title, columns, rows)


def _figures(
    result: RunResult, outputs: RecordedOutputs, comparison: Comparison | None, truth: Truth | None
) -> dict[str, Any]:
    latencies = [reply.latency_ms for reply in result.replies if not reply.error]
    figures: dict[str, Any] = {
        "played_s": round(result.played_s, 2),
        "ready_s": round(result.ready_s, 2),
        "published_messages": result.published,
        "worst_delay_ms": round(result.worst_delay_s * 1e3, 1),
        "scenes": len(outputs.scenes),
        "scenes_hz": round(outputs.rate_hz(), 2),
        "scenes_lost": outputs.lost(),
        "scene_latency_median_ms": round(outputs.latency_s(0.5) * 1e3, 1)
        if outputs.scenes
        else None,
        "scene_latency_p95_ms": round(outputs.latency_s(0.95) * 1e3, 1)
        if outputs.scenes
        else None,
        "answer_latency_median_ms": round(median(latencies), 1) if latencies else None,
        "answers": len(latencies),
        "relations": sum(not reply.error for reply in result.relations),
        "mean_gate": outputs.mean_gate(),
        "remembered_objects": len(result.mapped_objects),
        "drops": outputs.drops(),
    }
    if comparison is not None and truth is not None:
        errors = [match.error_m for match in comparison.matches]
        overlaps = [match.iou for match in comparison.matches]
        figures |= {
            "objects_found": len(errors),
            "objects_missed": len(comparison.missed),
            "objects_extra": len(comparison.extra),
            "pose_error_median_m": round(median(errors), 3) if errors else None,
            "iou_mean": round(mean(overlaps), 3) if overlaps else None,
            "iou_above_25": sum(iou >= 0.25 for iou in overlaps),
        }
    return figures


def _figure_table(figures: Mapping[str, Any], outputs: RecordedOutputs) -> Table:
    def shown(value: Any, unit: str = "") -> str:
        return "unknown" if value is None else f"{value}{unit}"

    published = ", ".join(
        f"{name} {count}" for name, count in figures["published_messages"].items()
    )
    rows = [
        ("recording played", f"{figures['played_s']} s"),
        ("messages sent late by at most", f"{figures['worst_delay_ms']} ms"),
        ("messages sent", published),
        ("scenes understood", f"{figures['scenes']}, {figures['scenes_hz']} per second"),
        ("scenes lost on the way", str(figures["scenes_lost"])),
        ("image to objects, median", shown(figures["scene_latency_median_ms"], " ms")),
        ("image to objects, 95 %", shown(figures["scene_latency_p95_ms"], " ms")),
        ("question to answer, median", shown(figures["answer_latency_median_ms"], " ms")),
        ("mean gate (share of the generative tokens)", shown(figures["mean_gate"])),
        ("node ready after", f"{figures['ready_s']} s"),
        ("demo took", f"{figures['wall_s']} s"),
    ]
    if "objects_found" in figures:
        rows += [
            ("pose error, median", shown(figures["pose_error_median_m"], " m")),
            ("IoU, mean", shown(figures["iou_mean"])),
            ("IoU of at least 0.25", f"{figures['iou_above_25']} of {figures['objects_found']}"),
        ]
    rows += [(key, value) for key, value in figures["drops"].items()]
    rows += [
        (f"health: {name}", values["message"]) for name, values in outputs.diagnostics.items()
    ]
    return Table("Rates, latencies, health", ("", ""), rows)


def _count_right(marks: Sequence[bool | None]) -> tuple[int, int]:
    return sum(mark is True for mark in marks), sum(mark is not None for mark in marks)


def _share(marks: Sequence[bool | None]) -> str:
    right, scored = _count_right(marks)
    return f"{right} of {scored} right" if scored else "not scored"
