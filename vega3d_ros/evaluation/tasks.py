"""The benchmarks: their prompts, prediction fields and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.evaluation.baselines import benchmarks as baselines
from vega3d_ros.evaluation.metrics import (
    multi3drefer,
    scan2cap,
    scanqa,
    scanrefer,
    sqa3d,
    vsi_bench,
)
from vega3d_ros.evaluation.metrics.boxes import overlap, with_heading, without_heading
from vega3d_ros.evaluation.schema import Question, RunError
from vega3d_ros.evaluation.sources.benchmark import Task, read_json, unique
from vega3d_ros.evaluation.sources.scannet import ScanNetScenes
from vega3d_ros.evaluation.sources.vsi_bench import Videos, read_questions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vega3d_ros.evaluation.sources.benchmark import Row, SceneReader
    from vega3d_ros.perception.perceiver import Scene

_PROCESSED = "get processed/ of the data set zd11024/Video-3D-LLM_data on Hugging Face"
# Recorded by the official code as part of the prompt, though it does not feed it.
_RECORDED = (
    "The video captures 3D spatial information of a scene. Please focus on the spatial "
    "relationships in the video and answer the following questions.\n"
)
_ANY_NUMBER = "\nThere may be no corresponding object, or there may be one or more objects."
_NOWHERE = [0.0] * 6
_HIT = 0.5
# Tokens of an answer, as officially.
_SHORT, _LONG = 16, 512


def _video3dllm(
    file: str, fields: Callable[[Row], tuple[Row, Row]]
) -> Callable[[Path], list[Question]]:
    """Reads ``processed/<file>``.

    Args:
        file: Name of the annotations.
        fields: From an annotation to what is recorded besides, and what is known of it.
    """

    def read(data: Path) -> list[Question]:
        path = data / "processed" / file
        try:
            return unique(
                [_question(item, *fields(item)) for item in read_json(path, _PROCESSED)], path
            )
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            msg = f"{path} has other fields than Video-3D-LLM's ({error!r}); {_PROCESSED}"
            raise RunError(msg) from error

    return read


def _question(item: Row, recorded: Row, known: Row) -> Question:
    asked = item["conversations"][0]["value"]
    kind = item["metadata"]["question_type"]
    record = {
        "dataset": item["metadata"]["dataset"],
        "sample_id": item["id"],
        "prompt": _RECORDED + asked,
        "question_type": kind,
        **recorded,
    }
    text = asked.replace("<image>", "").strip()
    return Question(
        id=str(item["id"]), source=item["video"], kind=kind, text=text, record=record, known=known
    )


def _grounded(item: Row) -> tuple[Row, Row]:
    # What surrounds the description is the same for all.
    description = item["conversations"][0]["value"].split("\n", 1)[1].removesuffix(_ANY_NUMBER)
    return {"gt_response": item["box"]}, {"description": description}


def _captioned(item: Row) -> tuple[Row, Row]:
    references = item.get("annotations") or [item["conversations"][1]["value"]]
    box, true = item["box_input"], item["gt_box"]
    hit = box is not None and float(overlap(box, true)) >= _HIT
    return {"gt_response": references}, {"hit": hit, "box": box, "references": references}


def _answered(item: Row) -> tuple[Row, Row]:
    truth = item["conversations"][1]["value"]
    answers = item["metadata"].get("answers", [truth])
    return {"gt_response": truth}, {"answers": answers}


def _say(
    name: str, max_tokens: int
) -> Callable[[Scene, Sequence[Question], SceneReader], list[Row]]:
    def respond(scene: Scene, questions: Sequence[Question], reader: SceneReader) -> list[Row]:
        del reader
        answers = scene.ask_all([question.text for question in questions], max_tokens)
        return [{name: answer.text} for answer in answers]

    return respond


def _point_at_one(scene: Scene, questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The best box, even of an absent object: officially there is always one."""
    rows = []
    proposals = reader.proposals(questions[0].source)
    for best in scene.likeliest_all([question.known["description"] for question in questions]):
        turned = with_heading(best.found.box) if best.found else [*_NOWHERE, 0.0]
        box = without_heading(best.found.box) if best.found else _NOWHERE
        rows.append(
            {
                "pred_response": box,
                "pred_box": turned,
                "pred_proposal": nearest(box, proposals),
            }
        )
    return rows


def nearest(box: list[float], proposals: Sequence[list[float]]) -> list[float]:
    """The proposal that overlaps a box most; the box itself where none does.

    The published models choose among proposals. This tells a box around the right thing from one
    that fits it as well as the detector's does.
    """
    if not proposals:
        return box
    overlaps = overlap([proposal[:6] for proposal in proposals], box)
    best = int(overlaps.argmax())
    return proposals[best] if overlaps[best] > 0 else box


def _point_at_all(scene: Scene, questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    rows = []
    proposals = reader.proposals(questions[0].source)
    for found in scene.ground_all([question.known["description"] for question in questions]):
        boxes = [item.box for item in found]
        aligned = [without_heading(box) for box in boxes]
        scores, objects = multi3drefer.as_scores(aligned)
        turned = [with_heading(box) for box in boxes]
        snapped = {tuple(nearest(box, proposals)) for box in aligned}
        rows.append(
            {
                "scores": scores,
                "objects": objects,
                "pred_boxes": turned,
                "pred_proposals": sorted(snapped),
            }
        )
    return rows


def _describe(scene: Scene, questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """Captions of the given boxes; officially empty where the detector missed the object."""
    del reader
    given = [question for question in questions if question.known["box"] is not None]
    asked = [located(question) for question in given]
    said = {
        q.id: answer.text for q, answer in zip(given, scene.ask_all(asked, _LONG), strict=True)
    }
    return [{"pred_response": said.get(question.id, "")} for question in questions]


def located(question: Question) -> str:
    """A Scan2Cap prompt with the box's centre in metres where the official one has a token."""
    x, y, z = question.known["box"][:3]
    return question.text.replace("<coord>", f"({x:.2f}, {y:.2f}, {z:.2f})")


def _scannet(**fields: Any) -> Task:
    return Task(reader=ScanNetScenes, key="sample_id", **fields)


_TASKS = (
    Task(
        name="vsi-bench",
        questions=read_questions,
        reader=Videos,
        respond=_say("prediction", _SHORT),
        refused={"prediction": ""},
        key="id",
        summarise=vsi_bench.summarise,
        headline=("overall", "overall of what was asked", "lenient: overall of what was asked"),
        baselines={
            "constant": baselines.constant_choice,
            "blind": baselines.blind_choice,
        },
    ),
    _scannet(
        name="scanrefer",
        questions=_video3dllm("scanrefer_vg_val_llava_style.json", _grounded),
        respond=_point_at_one,
        refused={
            "pred_response": _NOWHERE,
            "pred_box": [*_NOWHERE, 0.0],
            "pred_proposal": _NOWHERE,
        },
        summarise=scanrefer.summarise,
        headline=("Acc@0.25", "Acc@0.5"),
        baselines={"constant": baselines.constant_box, "blind": baselines.blind_box},
    ),
    _scannet(
        name="multi3drefer",
        questions=_video3dllm("multi3drefer_val_llava_style.json", _grounded),
        respond=_point_at_all,
        refused={"scores": [0.0], "objects": [], "pred_boxes": [], "pred_proposals": []},
        summarise=multi3drefer.summarise,
        headline=("F1@0.25", "F1@0.5"),
        baselines={"constant": baselines.constant_boxes, "blind": baselines.blind_boxes},
    ),
    _scannet(
        name="scan2cap",
        questions=_video3dllm("scan2cap_val_llava_style.json", _captioned),
        respond=_describe,
        refused={"pred_response": ""},
        summarise=scan2cap.summarise,
        headline=("CIDEr@0.5", "BLEU-4@0.5", "METEOR@0.5", "ROUGE-L@0.5"),
        baselines={"constant": baselines.constant_caption, "blind": baselines.blind_caption},
    ),
    _scannet(
        name="scanqa",
        questions=_video3dllm("scanqa_val_llava_style.json", _answered),
        respond=_say("pred_response", _LONG),
        refused={"pred_response": ""},
        summarise=scanqa.summarise,
        headline=("EM", "CIDEr", "BLEU-4", "METEOR", "ROUGE-L"),
        baselines={"constant": baselines.constant_answer, "blind": baselines.blind_answer},
    ),
    _scannet(
        name="sqa3d",
        questions=_video3dllm("sqa3d_test_llava_style.json", _answered),
        respond=_say("pred_response", _LONG),
        refused={"pred_response": ""},
        summarise=sqa3d.summarise,
        headline=("EM", "EM-R"),
        baselines={"constant": baselines.constant_answer, "blind": baselines.blind_answer},
    ),
)
TASKS = {task.name: task for task in _TASKS}
