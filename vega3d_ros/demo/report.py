"""The demo's report: tables for the terminal, report.md and report.json."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.json_io import finite, write_json
from vega3d_ros.evaluation.metrics.simulated import RIGHT, is_right
from vega3d_ros.evaluation.report.pages import write_pages
from vega3d_ros.evaluation.report.section import Picture, Section
from vega3d_ros.evaluation.schema import RELATION
from vega3d_ros.evaluation.scoring import Comparison, compare_objects
from vega3d_ros.models.checkpoints.auto_model import ELSEWHERE_NOTE, SIMULATION_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.evaluation.schema import AnswerRow
    from vega3d_ros.evaluation.sources.live import RecordedOutputs, RunResult
    from vega3d_ros.evaluation.sources.questions import Truth

NANO_NOTE = (
    "nano: trained on simulated rooms, a stand-in that shows the method whole, "
    "not VEGA-3D's numbers."
)
NO_TRUTH_NOTE = "No truth.json lies in this bag, so nothing is scored."
_SHOWN = 20
_SHOWN_EXTRA = 6


@dataclass(frozen=True)
class Report:
    """The tables and figures of a run; ``notes`` come before the tables."""

    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    figures: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write ``report.html``, ``report.md`` and ``report.json``, unknown values as null."""
        shown = (("frames.png", "frames with boxes and gate"), ("map.png", "map"))
        pictures = [
            [Picture(folder / name, what)] for name, what in shown if (folder / name).is_file()
        ]
        about = Section("vega3d demo", self.notes)
        sections = [about, *self.sections, Section("Pictures", pictures=pictures, wide=True)]
        write_pages(folder, about.title, sections)
        write_json(folder / "report.json", finite(dict(self.figures)))


def make_report(
    model: str,
    result: RunResult,
    outputs: RecordedOutputs,
    answers: Sequence[AnswerRow],
    truth: Truth | None,
    wall_s: float,
) -> Report:
    """The tables of a run, whose ``answers`` are scored."""
    comparison = None
    if truth is not None and result.fixed_frame == truth.fixed_frame:
        comparison = compare_objects(result.mapped_objects, truth.objects, truth.seen)
    questions = [row for row in answers if row.kind != RELATION]
    relations = [row for row in answers if row.kind == RELATION]
    figures = _figures(result, outputs, comparison)
    for name, rows in (("answers", questions), ("relations", relations)):
        figures[f"{name}_right"], figures[f"{name}_scored"] = _count_right(rows)
    figures["wall_s"] = round(wall_s, 1)
    sections = (
        _answer_table("Questions", questions),
        _answer_table("Relations seen from the camera", relations),
        _found_table(result) if comparison is None else _object_table(comparison, truth),
        _figure_table(figures, outputs),
    )
    return Report(notes_of(model, truth), sections, {"model": model, **figures})


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


def _answer_table(what: str, rows: Sequence[AnswerRow]) -> Section:
    cells = [
        (
            f"{row.at_s:.1f}",
            row.question,
            row.error or row.answer,
            row.truth or "",
            _mark(row),
            f"{row.latency_ms:.0f}",
        )
        for row in rows
    ]
    right, scored = _count_right(rows)
    share = f"{right} of {scored} right" if scored else "not scored"
    note = f"; {RIGHT}" if scored and what == "Questions" else ""
    columns = (">at [s]", "question", "answer", "truth", "", ">latency [ms]")
    return Section(f"{what} ({share}{note})").add(columns, cells)


def _mark(row: AnswerRow) -> str:
    if row.score is None:
        return ""
    return "right" if is_right(row.kind, row.score) else "wrong"


def _count_right(rows: Sequence[AnswerRow]) -> tuple[int, int]:
    marks = [_mark(row) for row in rows]
    return marks.count("right"), len(marks) - marks.count("")


def _object_table(comparison: Comparison, truth: Truth | None) -> Section:
    known = {} if truth is None else truth.objects
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
    rows += [(name, known[name].label, "not found", "", "", "") for name in comparison.missed]
    rows += [
        ("none near", item.label, f"{item.score:.2f}", "", "", str(item.observations))
        for item in extra[:_SHOWN_EXTRA]
    ]
    if len(extra) > _SHOWN_EXTRA:
        rows.append(("none near", f"{len(extra) - _SHOWN_EXTRA} more", "", "", "", ""))
    columns = ("true object", "label", ">score", ">pose error [m]", ">IoU", ">seen in")
    hits, seen = len(comparison.matches), len(comparison.matches) + len(comparison.missed)
    title = f"Objects remembered ({hits} of {seen} found, {len(extra)} more where there is none)"
    return Section(title).add(columns, rows)


def _found_table(result: RunResult) -> Section:
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
    return Section(title).add(columns, rows)


def _figures(
    result: RunResult, outputs: RecordedOutputs, comparison: Comparison | None
) -> dict[str, Any]:
    replied = [reply for reply in result.replies if not reply.error]
    latencies = [reply.latency_ms for reply in replied if not reply.question.is_relation]
    median_s, slow_s = (outputs.latency_s(share) for share in (0.5, 0.95))
    figures: dict[str, Any] = {
        "played_s": round(result.played_s, 2),
        "ready_s": round(result.ready_s, 2),
        "published_messages": result.published,
        "worst_delay_ms": round(result.worst_delay_s * 1e3, 1),
        "scenes": len(outputs.scenes),
        "scenes_hz": round(outputs.rate_hz(), 2),
        "scenes_lost": outputs.lost(),
        "scene_latency_median_ms": round(median_s * 1e3, 1) if outputs.scenes else None,
        "scene_latency_p95_ms": round(slow_s * 1e3, 1) if outputs.scenes else None,
        "answer_latency_median_ms": round(median(latencies), 1) if latencies else None,
        "answers": len(latencies),
        "relations": len(replied) - len(latencies),
        "mean_gate": outputs.mean_gate(),
        "remembered_objects": len(result.mapped_objects),
        "drops": outputs.drops(),
    }
    if comparison is not None:
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


def _figure_table(figures: Mapping[str, Any], outputs: RecordedOutputs) -> Section:
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
    return Section("Rates, latencies, health").add(("", ""), rows)
