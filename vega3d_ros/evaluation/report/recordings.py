"""The report on recordings: ``report.html``, ``report.md`` and ``results.json`` of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.frames import sample_uniformly
from vega3d_ros.core.json_io import finite, write_json
from vega3d_ros.evaluation.report import pages
from vega3d_ros.evaluation.report.pages import cell, figure_table, write_pages
from vega3d_ros.evaluation.report.section import RECORDING, Picture, Section, bar
from vega3d_ros.evaluation.statistics import Figure, Summary, calibration_error, summarise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from vega3d_ros.evaluation.schema import ResultRows
    from vega3d_ros.evaluation.statistics import Bin

    Records = Mapping[str, Mapping[str, Any]]

BAGS = "bags"
WORST = 12
_ANSWERS = (
    "Two baselines without images stand beside the model. Blind reads the words: it gives the "
    "best answer to such questions in the other recordings. Constant knows the kind alone: it "
    "gives the answer, or takes the place among things offered, that is best elsewhere."
)
_NO_BLIND = (
    "Blind is n/a: no other recording has questions of the kind, and those of the same one would "
    "tell it what is there."
)
_OBJECTS = (
    "Blind claims the typical place of the other objects of the label, constant that of all other "
    "objects."
)


def write_report(
    folder: Path,
    records: Records,
    rows: ResultRows,
    made_with: Mapping[str, Any],
    title: str,
    first: Sequence[Section] = (),
    last: Sequence[Section] = (),
) -> tuple[dict[str, Any], list[Section]]:
    """Write the report on all recordings of a run.

    Args:
        folder: Of the run.
        records: By name of the recording.
        rows: Of all recordings.
        made_with: The provenance.
        title: Of the report.
        first: More sections, before those of figures.
        last: More sections, at the end.

    Returns:
        The contents of ``results.json``, and the tables to print.
    """
    summary = summarise(rows)
    results: dict[str, Any] = {
        **made_with,
        "figures": _plain_summary(summary),
        "recordings": {
            name: {k: v for k, v in record.items() if k != "cases"}
            for name, record in records.items()
        },
    }
    write_json(folder / "results.json", finite(results))
    figures = list(_figures(summary))
    sections = [
        pages.made_with(made_with),
        _recordings(records),
        *first,
        *figures,
        _latency(records),
        _steadiness(records),
        _frames(records),
        _cases("Worst cases", folder, worst_cases(records)),
        _cases("Answers to which no truth is known", folder, unscored_cases(records)),
        *_maps(folder, records),
        *last,
    ]
    write_pages(folder, title, [s for s in sections if s.notes or s.tables or s.pictures])
    return results, [section for section in figures if section.title in ("Answers", "Objects")]


def worst_cases(records: Records) -> list[dict[str, Any]]:
    """The worst cases with a picture, as many answers as objects where possible."""
    cases = [case for case in _drawn(records) if case["badness"] > 0]
    cases.sort(key=lambda case: -case["badness"])
    halves = [[c for c in cases if c["type"] == kind] for kind in ("answer", "object")]
    chosen = [*halves[0][: WORST // 2], *halves[1][: WORST // 2]]
    rest = [case for case in cases if case not in chosen]
    chosen += rest[: WORST - len(chosen)]
    return sorted(chosen, key=lambda case: -case["badness"])


def unscored_cases(records: Records) -> list[dict[str, Any]]:
    """At most ``WORST`` answers without a known truth, evenly over all."""
    cases = [c for c in _drawn(records) if c["score"] is None and c["type"] == "answer"]
    return [cases[i] for i in sample_uniformly(len(cases), WORST)]


def _drawn(records: Records) -> list[dict[str, Any]]:
    """The cases with a picture, in the order of time."""
    return [
        {**case, "folder": name}
        for name, record in records.items()
        for case in sorted(record.get("cases", ()), key=lambda case: float(case["at_s"]))
        if case["picture"]
    ]


def _figures(summary: Summary) -> Iterator[Section]:
    def table(
        title: str, figures: Mapping[str, Figure], notes: Sequence[str], first: str = ""
    ) -> Section:
        columns = {
            kind: {name: getattr(figure, kind) for name, figure in figures.items()}
            for kind in Figure._fields
        }
        return figure_table(title, columns, summary.resampled, notes, first=first)

    if summary.answers:
        known = [figure for figure in summary.answers.values() if figure.constant.count]
        blind = all(figure.blind.count for figure in known)
        notes = [_ANSWERS] if known else []
        yield table(
            "Answers", summary.answers, notes + ([] if blind else [_NO_BLIND]), "kind of question"
        )
    if summary.objects:
        about = "Objects that a scene shows, each scene anew."
        yield table("Objects", summary.objects, [about, _OBJECTS])
    for name, figures in summary.by.items():
        about = "Share found with an overlap of at least a quarter (Acc@0.25)."
        yield table(f"Objects by {name}", figures, [about], name)
    for name, bins in summary.calibration.items():
        yield _calibration(name, bins)


def _recordings(records: Records) -> Section:
    rows = []
    for name, record in records.items():
        figures = record.get("figures", {})
        objects = figures.get("objects_per_scene") or {}
        topics = record.get("topics", {}).get("notes", [])
        remarks = [record.get("error"), record.get("damage"), *record.get("notes", ()), *topics]
        remarks += [*record.get("warnings", []), *record.get("failures", [])[:3]]
        rows.append(
            (
                name,
                record["status"],
                record.get("truth", ""),
                str(figures.get("recording_s", "")),
                str(figures.get("scenes", "")),
                f"{objects['mean']:.1f}" if objects else "",
                str(figures.get("remembered", "")),
                str(figures.get("recorded_s_per_wall_s") or ""),
                "; ".join(filter(None, remarks)),
            )
        )
    columns = (
        RECORDING, "status", "truth", ">seconds", ">scenes", ">objects per scene",
        ">remembered", ">times real time", "remarks",
    )  # fmt: skip
    return Section("Recordings").add(columns, rows)


def _calibration(name: str, bins: Sequence[Bin]) -> Section:
    rows = [
        (
            f"{b.low:.1f} to {b.high:.1f}",
            f"{100 * b.confidence:.0f}",
            cell("", b.right),
            str(b.right.count),
        )
        for b in bins
    ]
    error = 100 * calibration_error(bins)
    about = (
        f"Of what is claimed with a confidence, so much is right; the red line is the mean "
        f"confidence, which an honest model's bars reach. Expected calibration error {error:.1f}."
    )
    bars = [bar(b.right, mark=b.confidence) for b in bins]
    columns = ("confidence", ">mean, %", ">right, %", ">n")
    return Section(f"Calibration of {name}", [about]).add(columns, rows, bars)


def _latency(records: Records) -> Section:
    rows = [
        (name, stage, *map(str, levels.values()))
        for name, record in records.items()
        for stage, levels in record.get("figures", {}).get("latency_ms", {}).items()
    ]
    columns = (RECORDING, "stage", ">count", ">p50", ">p90", ">p95", ">p99", ">slowest")
    return Section("Latency, milliseconds").add(columns, rows)


def _steadiness(records: Records) -> Section:
    def middle(spread: Mapping[str, float] | None) -> str:
        return "-" if not spread else f"{spread['median']:.3g}"

    rows = []
    for name, record in records.items():
        if not (figures := record.get("figures", {})):
            continue
        stability, gate = figures.get("stability", {}), figures.get("gate")
        spreads = ("scenes_per_id", "position_spread_m", "position_step_m")
        rows.append(
            (
                name,
                str(stability["ids"]),
                str(stability.get("ids_of_one_scene", "-")),
                *(middle(stability.get(spread)) for spread in spreads),
                middle(gate and gate["scene_mean"]),
                "-" if not gate else f"{gate['token_p5']} to {gate['token_p95']}",
            )
        )
    columns = (
        RECORDING, ">names", ">of one scene", ">scenes per name", ">position spread, m",
        ">position step, m", ">gate, mean", ">gate, 5 to 95 %",
    )  # fmt: skip
    about = (
        "How well objects keep name and place: medians over names. Spread is about their mean, a "
        "step is from scene to scene. The gate is the generative tokens' share of all tokens."
    )
    return Section("Steadiness and gate", [about]).add(columns, rows)


def _frames(records: Records) -> Section:
    rows = []
    for name, record in records.items():
        frames = record.get("frames", {})
        said = frames.get("details", {})
        for status, count in frames.get("by_fate", {}).items():
            rows.append((name, status, str(count), said.get(status, "")))
        for lack, count in frames.get("lacks", {}).items():
            rows.append((name, f"used without: {lack}", str(count), said.get(lack, "")))
        unread = frames.get("in_bag", 0) - frames.get("read", 0)
        if unread > 0:
            rows.append((name, "not read", str(unread), record.get("damage", "")))
    return Section("Every frame").add((RECORDING, "what became of it", ">frames", ""), rows)


def _cases(title: str, folder: Path, cases: Sequence[Mapping[str, Any]]) -> Section:
    return Section(title, pictures=[[case_picture(folder / BAGS / c["folder"], c)] for c in cases])


def case_picture(folder: Path, case: Mapping[str, Any], heading: str = "") -> Picture:
    """A case with its picture."""
    facts = [
        ("question", case["question"]),
        ("answer", case["answer"]),
        ("truth", case["truth"] or "unknown"),
        ("kind", case["kind"]),
        ("at", f"{case['at_s']:.1f} s of {case['bag']}"),
    ]
    return Picture(folder / case["picture"], case["question"], facts, heading)


def _maps(folder: Path, records: Records) -> Iterator[Section]:
    paths = {name: folder / BAGS / name / "map.png" for name in records}
    maps = [[Picture(path, f"map of {name}")] for name, path in paths.items() if path.is_file()]
    yield Section("Maps", pictures=maps, wide=True)


def _plain_summary(summary: Summary) -> dict[str, Any]:
    def plain(group: Mapping[str, Figure]) -> dict[str, Any]:
        return {
            name: {kind: asdict(value) for kind, value in figure._asdict().items()}
            for name, figure in group.items()
        }

    return {
        "answers": plain(summary.answers),
        "objects": plain(summary.objects),
        "objects_by": {name: plain(group) for name, group in summary.by.items()},
        "calibration": {
            name: {
                "expected_error": calibration_error(bins),
                "bins": [{**b._asdict(), "right": asdict(b.right)} for b in bins],
            }
            for name, bins in summary.calibration.items()
        },
        "resampled": summary.resampled,
    }
