"""Pictures of single cases, right and wrong, and the map of a run."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vega3d_ros.evaluation.question_file import RunError
from vega3d_ros.evaluation.run_log import LOG, read_log
from vega3d_ros.evaluation.truth import find_truth
from vega3d_ros.sensing.bags.reader import BagError, open_bag, read_frames
from vega3d_ros.viz.drawing import (
    INK,
    WHITE,
    box_in_camera,
    contact_sheet,
    draw_gate,
    draw_label,
    draw_objects,
    enlarged,
    project_box,
    text_size_px,
)
from vega3d_ros.viz.floor_plan import top_down_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.core.geometry import SE3
    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.evaluation.run_log import RunLog, SceneRecord
    from vega3d_ros.evaluation.schema import AnswerRow, ObjectRow, ResultRows
    from vega3d_ros.evaluation.truth import GroundTruthObject, TruthSource
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics
    from vega3d_ros.viz.drawing import Rect
    from vega3d_ros.viz.floor_plan import TrueObject

    Image = NDArray[np.uint8]

WORST = 12
_WIDTH_PX = 560
_JPEG_QUALITY = 80
_MAP_OBJECTS = 20


def draw_run(
    folder: Path,
    bag: Bag,
    topics: CameraTopics,
    log: RunLog,
    rows: ResultRows,
    truth: TruthSource | None,
    mapped_objects: Sequence[SceneObject],
    fixed_frame: str,
) -> list[dict[str, Any]]:
    """Draw every question's scene and the worst objects into ``cases/``, and ``map.png``.

    Returns:
        The cases, worst first, with the names of their pictures.
    """
    (folder / "cases").mkdir(exist_ok=True)
    cases = [_answer_case(row) for row in rows.answers]
    cases += [object_case(row) for row in worst_objects(rows.objects)]
    scenes = {scene.stamp_ns: scene for scene in log.scenes}
    wanted = {case["stamp_ns"] for case in cases} & scenes.keys()
    pictures = {
        stamp: _picture(frame, scenes[stamp], truth)
        for stamp, frame in _frames(bag, topics, wanted).items()
    }
    for case in cases:
        picture = pictures.get(case["stamp_ns"])
        case["picture"] = ""
        if picture is not None:
            name = f"cases/{case['case']}.jpg"
            save(picture, folder / name)
            case["picture"] = name
    path = [s.pose for s in log.scenes if s.pose is not None and s.frame_id == fixed_frame]
    if path:
        save(_map(mapped_objects, truth, log, path), folder / "map.png")
    return sorted(cases, key=lambda case: -float(case["badness"]))


def draw_again(
    folder: Path, record: Mapping[str, Any], wanted: Mapping[str, int], out: Path
) -> dict[str, Path]:
    """Draw cases of an earlier run from its recording and its log, to ``out``.

    ``wanted`` holds the stamps of the scenes to draw, by case.

    Returns:
        Pictures by case; empty if the recording is gone.
    """
    source = str(record["truth"])
    source_name = "auto" if source == "truth.json" else source.removeprefix("topic ")
    known = record["topics"]
    try:
        with open_bag(record["bag"]) as bag:
            topics = bag.find_topics(
                image=known["image"],
                camera_info=known["camera_info"],
                depth=known["depth"],
                tf=next(iter(known["tf"]), ""),
            )
            truth, _ = find_truth(bag, "none" if source_name.startswith("none") else source_name)
            scenes = {scene.stamp_ns: scene for scene in read_log(folder / LOG).scenes}
            frames = _frames(bag, topics, set(wanted.values()) & scenes.keys())
    except (BagError, RunError):
        return {}
    out.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for case, stamp in wanted.items():
        if stamp in frames:
            drawn[case] = out / f"{case}.jpg"
            save(_picture(frames[stamp], scenes[stamp], truth), drawn[case])
    return drawn


def worst_objects(rows: Iterable[ObjectRow], count: int = WORST) -> list[ObjectRow]:
    """For each true object the scene that shows most and finds least of it, the worst first."""
    worst: dict[tuple[str, str], ObjectRow] = {}
    for row in rows:
        known = worst.get((row.source, row.id))
        if known is None or _object_badness(row) > _object_badness(known):
            worst[row.source, row.id] = row
    return sorted(worst.values(), key=lambda row: -_object_badness(row))[:count]


def save(image: Image, path: Path) -> None:
    """Write a JPEG or PNG, by its name."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    cv2.imwrite(str(path), bgr, jpeg if path.suffix == ".jpg" else [])


def draw_truth(
    picture: Image, true_objects: Iterable[TrueObject], frame_id: str, frame: Frame
) -> Image:
    """Draw true boxes as dashed white lines, with their labels."""
    drawn = picture.copy()
    if frame.camera is None:
        return drawn
    height, width = drawn.shape[:2]
    camera = frame.camera.resized(width, height)
    taken: list[Rect] = []
    for item in true_objects:
        box = box_in_camera(item.box, frame_id, frame)
        lines = [] if box is None else project_box(box, camera)
        for start, end in lines:
            _dashed(drawn, start, end)
        if lines:
            points = np.clip(np.concatenate(lines), 0, [width - 1, height - 1])
            corner = (float(points[:, 0].min()), float(points[:, 1].max()))
            text = f"true: {item.label}"
            taken.append(draw_label(drawn, text, corner, WHITE, text_size_px(drawn), taken))
    return drawn


def _dashed(image: Image, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    start, end = (np.clip(point, -1e4, 1e4) for point in (start, end))
    dashes = max(2, int(np.linalg.norm(end - start) / 6))
    if dashes > 2000:  # all but parallel to the view: outside the picture anyway
        return
    points = np.linspace(start, end, dashes).round().astype(int)
    for i, (a, b) in enumerate(pairwise(points.tolist())):
        cv2.line(image, a, b, WHITE if i % 2 == 0 else INK, 1, cv2.LINE_AA)


def _picture(frame: Frame, scene: SceneRecord, truth: TruthSource | None) -> Image:
    plain = enlarged(frame.picture, _WIDTH_PX)
    true_objects: Mapping[str, GroundTruthObject] = (
        truth.at(scene) if truth is not None else None
    ) or {}
    shown = [entry.item for entry in true_objects.values() if entry.visible]
    boxes = draw_truth(plain, shown, scene.frame_id, frame)
    boxes = draw_objects(boxes, scene.objects, frame)
    images, captions = [boxes], ["found (colours)" + (" and true (dashed)" if shown else "")]
    if scene.gate is not None:
        images.append(draw_gate(plain, scene.gate))
        captions.append("gate: share of the generative tokens")
    return contact_sheet(images, 1, captions)


def _map(
    mapped_objects: Sequence[SceneObject],
    truth: TruthSource | None,
    log: RunLog,
    path: Sequence[SE3],
) -> Image:
    true: dict[str, TrueObject] = {}
    for scene in log.scenes if truth is not None else ():
        true_objects = truth.at(scene) if truth is not None else None
        true |= {name: entry.item for name, entry in (true_objects or {}).items() if entry.visible}
    # Without a truth the map shows only the objects with the highest scores, to stay readable.
    shown = sorted(mapped_objects, key=lambda item: -item.score)
    return top_down_map(shown if true else shown[:_MAP_OBJECTS], list(true.values()), path)


def _frames(bag: Bag, topics: CameraTopics, stamps: set[int]) -> dict[int, Frame]:
    found: dict[int, Frame] = {}
    try:
        for frame in read_frames(bag, topics, stamps.__contains__):
            found[frame.stamp_ns] = frame
            if len(found) == len(stamps):
                break
    except BagError:
        pass  # the run has reported the damage
    return found


def _answer_case(row: AnswerRow) -> dict[str, Any]:
    wrong = 0.0 if row.score is None else 1 - row.score
    return {
        "case": row.case,
        "bag": row.source,
        "type": "answer",
        "kind": row.kind,
        "stamp_ns": row.stamp_ns,
        "at_s": row.at_s,
        "question": row.question,
        "answer": row.error or row.answer,
        "truth": row.truth,
        "score": row.score,
        # Of equally wrong answers the more confident one is worse.
        "badness": wrong * (1 + (row.confidence or 0.0)) / 2,
    }


def object_case(row: ObjectRow) -> dict[str, Any]:
    """A true object in a scene as a case, without its picture."""
    found = "nothing of that name near"
    if row.error_m is not None:
        found = f"{row.error_m:.2f} m off, overlap {row.iou:.2f}, score {row.score:.2f}"
    return {
        "case": row.case,
        "bag": row.source,
        "type": "object",
        "kind": row.label,
        "stamp_ns": row.stamp_ns,
        "at_s": row.at_s,
        "question": f"Where is the {row.label}?",
        "answer": found,
        "truth": f"{row.distance_m:.1f} m away, {row.size_m:.2f} m long",
        "score": row.iou,
        "badness": _object_badness(row),
    }


def _object_badness(row: ObjectRow) -> float:
    """How little of an object was found, weighted by how well it is visible."""
    seen = min(1.0, 10 * row.share) if row.share is not None else 1 / (1 + row.distance_m)
    return (1 - row.iou) * seen
