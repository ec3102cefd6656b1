"""The report on recordings: ``report.html``, ``report.md`` and ``results.json`` of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.frames import sample_uniformly
from vega3d_ros.core.json_io import finite, read_json, write_json
from vega3d_ros.evaluation import html
from vega3d_ros.evaluation.bag_run import ROWS, read_record
from vega3d_ros.evaluation.report import cell, figure_table, write_pages
from vega3d_ros.evaluation.schema import ResultRows
from vega3d_ros.evaluation.sections import RECORDING, Section
from vega3d_ros.evaluation.statistics import Figure, Summary, calibration_error, summarise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vega3d_ros.evaluation.statistics import Bin

BAGS = "bags"
WORST = 12
_ANSWERS = (
    "Two baselines without images stand beside the model. Blind reads the words: it gives the "
    "typical answer to such questions in the other recordings. Constant gives the typical answer "
    "of the other questions of the kind."
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
    folder: Path, made_with: Mapping[str, Any], title: str
) -> tuple[dict[str, Any], list[Section]]:
    """Write the report on all recordings of a run.

    Returns:
        The contents of ``results.json``, and the tables to print.
    """
    records, rows = read_run(folder)
    summary = summarise(rows)
    results = {
        **made_with,
        "figures": _plain_summary(summary),
        "recordings": {
            name: {k: v for k, v in record.items() if k != "cases"}
            for name, record in records.items()
        },
    }
    write_json(folder / "results.json", finite(results))
    sections = _sections(records, summary, made_with)
    more = [
        *_case_figures("Worst cases", folder, worst_cases(records)),
        *_case_figures("Answers to which no truth is known", folder, unscored_cases(records)),
        *_maps(folder, records),
    ]
    write_pages(folder, title, sections, more)
    return results, [section for section in sections if section.title in ("Answers", "Objects")]


def read_run(folder: Path) -> tuple[dict[str, dict[str, Any]], ResultRows]:
    """The records of a run's recordings by name, and all their rows."""
    records, rows = {}, ResultRows()
    for path in sorted((folder / BAGS).iterdir()) if (folder / BAGS).is_dir() else ():
        record = read_record(path)
        if record is not None:
            records[path.name] = record
            rows.extend(ResultRows.read(read_json(path / ROWS)))
    return records, rows


def worst_cases(records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The worst cases with a picture, as many answers as objects where possible."""
    cases = [
        {**case, "folder": name}
        for name, record in records.items()
        for case in record.get("cases", ())
        if case["badness"] > 0 and case["picture"]
    ]
    cases.sort(key=lambda case: -case["badness"])
    halves = [[c for c in cases if c["type"] == kind] for kind in ("answer", "object")]
    chosen = [*halves[0][: WORST // 2], *halves[1][: WORST // 2]]
    rest = [case for case in cases if case not in chosen]
    chosen += rest[: WORST - len(chosen)]
    return sorted(chosen, key=lambda case: -case["badness"])


def unscored_cases(records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """At most ``WORST`` answers without a known truth, evenly over all."""
    cases = [
        {**case, "folder": name}
        for name, record in records.items()
        for case in sorted(record.get("cases", ()), key=lambda case: float(case["at_s"]))
        if case["score"] is None and case["type"] == "answer" and case["picture"]
    ]
    return [cases[i] for i in sample_uniformly(len(cases), WORST)]


def _figures(
    title: str, figures: Mapping[str, Figure], units: str, notes: Sequence[str], first: str = ""
) -> Section:
    """A table of figures of the model beside the baselines."""
    columns = {
        kind: {name: getattr(figure, kind) for name, figure in figures.items()}
        for kind in Figure._fields
    }
    return figure_table(title, columns, units, notes, first=first)


def _sections(
    records: Mapping[str, Mapping[str, Any]], summary: Summary, made_with: Mapping[str, Any]
) -> list[Section]:
    sections = [_head(made_with), _recordings(records)]
    units = summary.resampled
    if summary.answers:
        notes = []
        if any(figure.constant.count for figure in summary.answers.values()):
            notes.append(_ANSWERS)
        if any(f.constant.count and not f.blind.count for f in summary.answers.values()):
            notes.append(_NO_BLIND)
        sections.append(_figures("Answers", summary.answers, units, notes, "kind of question"))
    if summary.objects:
        about = "Objects that a scene shows, each scene anew."
        sections.append(_figures("Objects", summary.objects, units, [about, _OBJECTS]))
    for name, figures in summary.by.items():
        about = "Share found with an overlap of at least a quarter (Acc@0.25)."
        sections.append(_figures(f"Objects by {name}", figures, units, [about], name))
    for name, bins in summary.calibration.items():
        sections.append(_calibration(name, bins))
    sections += [_latency(records), _steadiness(records), _frames(records)]
    return sections


def _head(made_with: Mapping[str, Any]) -> Section:
    model, hardware = made_with["model"], made_with["hardware"]
    versions = ", ".join(f"{k} {v}" for k, v in made_with["versions"].items())
    rows = [
        ("model", f"{model['name']}, sha256 {model['sha256'][:16]}"),
        ("made", f"{made_with.get('date', '')} {made_with.get('commit', '')}".strip()),
        ("command", " ".join(map(str, made_with["command"]))),
        ("hardware", ", ".join(f"{k} {v}" for k, v in hardware.items())),
        ("versions", versions),
        ("seeds", ", ".join(f"{k} {v}" for k, v in made_with["seeds"].items())),
    ]
    return Section("Made with", [model["card"]]).add(("", ""), rows)


def _recordings(records: Mapping[str, Mapping[str, Any]]) -> Section:
    rows = []
    for name, record in records.items():
        figures = record.get("figures", {})
        remarks = [record.get("error", ""), record.get("damage", ""), *record.get("notes", ())]
        remarks += record.get("topics", {}).get("notes", [])
        remarks += [*record.get("warnings", []), *record.get("failures", [])[:3]]
        objects = figures.get("objects_per_scene") or {}
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
    bars = [html.bar(b.right, mark=b.confidence) for b in bins]
    columns = ("confidence", ">mean, %", ">right, %", ">n")
    return Section(f"Calibration of {name}", [about]).add(columns, rows, bars)


def _latency(records: Mapping[str, Mapping[str, Any]]) -> Section:
    rows = []
    for name, record in records.items():
        stages = record.get("figures", {}).get("latency_ms", {})
        rows += [(name, stage, *map(str, levels.values())) for stage, levels in stages.items()]
    columns = (
        RECORDING, "stage", ">count", ">p50", ">p90", ">p95", ">p99", ">slowest",
    )  # fmt: skip
    return Section("Latency, milliseconds").add(columns, rows)


def _steadiness(records: Mapping[str, Mapping[str, Any]]) -> Section:
    rows = []
    for name, record in records.items():
        figures = record.get("figures", {})
        stability, gate = figures.get("stability", {}), figures.get("gate")
        if not figures:
            continue
        rows.append(
            (
                name,
                str(stability["ids"]),
                str(stability.get("ids_of_one_scene", "-")),
                _middle(stability.get("scenes_per_id")),
                _middle(stability.get("position_spread_m")),
                _middle(stability.get("position_step_m")),
                _middle(gate and gate["scene_mean"]),
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


def _middle(spread: Mapping[str, float] | None) -> str:
    return "-" if not spread else f"{spread['median']:.3g}"


def _frames(records: Mapping[str, Mapping[str, Any]]) -> Section:
    rows = []
    for name, record in records.items():
        frames = record.get("frames", {})
        for status, count in frames.get("by_fate", {}).items():
            rows.append((name, status, str(count), frames["details"].get(status, "")))
        for lack, count in frames.get("lacks", {}).items():
            rows.append(
                (name, f"used without: {lack}", str(count), frames["details"].get(lack, ""))
            )
        unread = frames.get("in_bag", 0) - frames.get("read", 0)
        if unread > 0:
            rows.append((name, "not read", str(unread), record.get("damage", "")))
    return Section("Every frame").add((RECORDING, "what became of it", ">frames", ""), rows)


def _case_figures(title: str, folder: Path, cases: Sequence[Mapping[str, Any]]) -> list[str]:
    if not cases:
        return []
    figures = [case_figure(folder / BAGS / case["folder"], case) for case in cases]
    return [html.heading(title), f'<div class="cases">{"".join(figures)}</div>']


def case_figure(folder: Path, case: Mapping[str, Any]) -> str:
    """A case with its picture."""
    words = html.definition(
        [
            ("question", case["question"]),
            ("answer", case["answer"]),
            ("truth", case["truth"] or "unknown"),
            ("kind", case["kind"]),
            ("at", f"{case['at_s']:.1f} s of {case['bag']}"),
        ]
    )
    return f"<figure>{html.picture(folder / case['picture'], case['question'])}{words}</figure>"


def _maps(folder: Path, records: Mapping[str, Any]) -> list[str]:
    maps = [
        f"<figure>{html.picture(folder / BAGS / name / 'map.png', f'map of {name}')}"
        f"<figcaption>{name}</figcaption></figure>"
        for name in records
        if (folder / BAGS / name / "map.png").is_file()
    ]
    return [html.heading("Maps"), *maps] if maps else []


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
