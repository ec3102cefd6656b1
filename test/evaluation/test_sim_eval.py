"""Tests of the evaluation: who knows the truth gets everything, who does not gets what is due."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.official_folder import write_checkpoint

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import Answer, SceneObject
from vega3d_ros.evaluation import command
from vega3d_ros.evaluation.baselines.clips import Blind, Constant
from vega3d_ros.evaluation.schema import GroundingRow, Question
from vega3d_ros.evaluation.sim_eval import SceneModel, evaluate, summarise
from vega3d_ros.evaluation.sources.clips import Grounding, Responses, queries
from vega3d_ros.evaluation.statistics import BEST_TOKEN, MEAN, METRES, Units, grounding_figures
from vega3d_ros.simulation.dataset import ClipRecord, write_shard
from vega3d_ros.simulation.questions import KINDS, make_questions
from vega3d_ros.simulation.referring import make_referring
from vega3d_ros.training.samples import coverage, truth_boxes

GRID = (6, 8)
CAMERA = {"width": 224, "height": 168, "fx": 200.0, "fy": 200.0, "cx": 111.5, "cy": 83.5}
FRAMES = 4
_SIZES = {
    "chair": (0.5, 0.5, 0.9),
    "table": (1.4, 0.8, 0.7),
    "bed": (2.0, 1.6, 0.5),
    "picture": (0.6, 0.04, 0.5),
    "plant": (0.4, 0.4, 0.8),
    "trash bin": (0.3, 0.3, 0.4),
}
_COLORS = ("red", "green", "blue")


def simulated(number: int, split: str = "heldout") -> ClipRecord:
    """A camera that pans over some objects on the floor."""
    rng = np.random.default_rng([number, split == "train"])
    objects = []
    for index, label in enumerate(rng.choice(list(_SIZES), size=5)):
        size = np.array(_SIZES[label]) * rng.uniform(0.8, 1.25, 3)
        center = [rng.uniform(2.5, 5), rng.uniform(-2, 2), size[2] / 2]
        item = {
            "id": f"{label}_{index}",
            "label": str(label),
            "center": center,
            "size": size.tolist(),
        }
        item |= {"color": _COLORS[rng.integers(3)], "yaw": float(rng.uniform(-3, 3))}
        objects.append(item)
    boxes = truth_boxes(objects)
    poses = [_pose(rng.uniform(-0.3, 0.3), -0.25 + 0.15 * i) for i in range(FRAMES)]
    instance = np.stack([_paint(boxes, pose) for pose in poses])
    counts = [np.bincount(image.ravel(), minlength=6)[1:] * 4 for image in instance]
    for item, pixels in zip(objects, np.transpose(counts), strict=True):
        item["visible_pixels"] = pixels.tolist()
    truth = {
        "split": split,
        "fixed_frame": "map",
        "camera": CAMERA,
        "stamps_ns": [number * 10**10 + i * 10**9 for i in range(FRAMES)],
        "poses": [pose.matrix.tolist() for pose in poses],
        "objects": objects,
    }
    truth["questions"] = [vars(q) for q in make_questions(objects, rng)]
    truth["referring"] = [vars(r) for r in make_referring(objects, rng)]
    shape = (FRAMES, 168, 224, 3)
    depth = np.full((FRAMES, 84, 112), 3.0, np.float16)
    return ClipRecord(np.zeros(shape, np.uint8), depth, instance, truth)


def _pose(sideways: float, yaw: float) -> SE3:
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    optical = np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]])
    return SE3(turn @ optical, np.array([0, sideways, 1.0]))


def _paint(boxes: list[Box3D], pose: SE3) -> np.ndarray:
    """Instance map [84, 112]: the outline of each box's corners, nearest last."""
    image = np.zeros((84, 112), np.uint8)
    order = sorted(range(len(boxes)), key=lambda i: -np.linalg.norm(boxes[i].center))
    for i in order:
        corners = Camera(**CAMERA).project(pose.inverse().apply(boxes[i].corners)) / 2
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        rows = slice(max(0, round(top)), max(0, round(bottom)))
        image[rows, max(0, round(left)) : max(0, round(right))] = i + 1
    return image


class Oracle:
    """A perceiver that looks the truth up.

    Args:
        records: The clips it will be shown.
    """

    card = "looks the truth up"
    grounds = True

    def __init__(self, records: list[ClipRecord]) -> None:
        self.modules = SimpleNamespace(language=SimpleNamespace(grid=GRID))
        self.queries: tuple[str, ...] = ()
        self.threshold = 0.5
        self.had_depth: list[bool] = []
        self._records = {record.truth["stamps_ns"][-1]: record for record in records}

    def observe(self, clip):
        self.had_depth.append(clip.frames[0].depth_m is not None)
        return OracleScene(self._records[clip.stamp_ns])


class OracleScene:
    frames_left_out = 0

    def __init__(self, record: ClipRecord) -> None:
        self.record = record
        self.boxes = truth_boxes(record.truth["objects"])
        objects = record.truth["objects"]
        shown = [coverage(image, len(objects), *GRID) for image in record.instance]
        self.shown = np.stack(shown, axis=1)  # [objects, frames, rows, columns]

    def ask_all(self, questions):
        answers = {q["question"]: q["answer"] for q in self.record.truth["questions"]}
        return [Answer(q, answers[q], 1.0, (), 0) for q in questions]

    def _targets(self, text):
        objects = self.record.truth["objects"]
        index = {item["id"]: i for i, item in enumerate(objects)}
        for expression in self.record.truth["referring"]:
            if expression["text"] == text:
                return [index[name] for name in expression["objects"]]
        return [i for i, item in enumerate(objects) if item["label"] == text]

    def _object(self, box):
        return SceneObject(
            label="",
            query="",
            score=1.0,
            box=box,
            frame_id="map",
            stamp_ns=0,
            covariance=np.eye(6),
            orientation_estimated=True,
            observations=1,
            depth_coverage=1.0,
        )

    def likeliest_all(self, texts):
        located = []
        for text in texts:
            targets = self._targets(text)
            shown = self.shown[targets].max(axis=0) if targets else self.shown[0]
            frame, row, column = np.unravel_index(shown.argmax(), shown.shape)
            found = None
            if targets:
                best = max(targets, key=lambda i: self.shown[i].max())
                found = self._object(self.boxes[best])
            located.append(SimpleNamespace(place=(frame, row, column), score=1.0, found=found))
        return located


CLIPS = [simulated(i) for i in range(30)]
TRAINING = [simulated(i, "train") for i in range(60)]


def scores(respondent, clips=CLIPS):
    *_, (results,) = evaluate([respondent], clips)
    return summarise(results)


@pytest.fixture(scope="module")
def blind():
    return scores(Blind(TRAINING, GRID))


@pytest.fixture(scope="module")
def constant():
    return scores(Constant(TRAINING, GRID))


def test_who_knows_the_truth_scores_everything():
    summary = scores(SceneModel("oracle", Oracle(CLIPS), depth=True))
    wrong = {"not here: said of present (wrong)", "unknown: said of answerable (wrong)"}
    assert set(KINDS) <= set(summary)
    for figure, estimate in summary.items():
        assert estimate.count > 0, figure
        if figure in wrong or figure.endswith(METRES) or "error" in figure:
            assert estimate.value == 0, figure
        else:
            assert estimate.value == pytest.approx(1.0), figure


def test_depth_is_shown_only_where_asked_for():
    oracle = Oracle(CLIPS)
    models = [SceneModel("with", oracle, depth=True), SceneModel("without", oracle, depth=False)]
    list(evaluate(models, CLIPS[:3]))
    assert oracle.had_depth == [True, False] * 3


def test_a_model_that_only_answers_is_not_scored_for_grounding():
    summary = scores(SceneModel("blind", Oracle(CLIPS), depth=False, grounds=False))
    assert summary[MEAN].value == 1
    assert BEST_TOKEN not in summary


class Changed:
    """The oracle, with every grounding changed."""

    name = "changed"

    def __init__(self, change):
        self._oracle, self._change = SceneModel("oracle", Oracle(CLIPS), depth=True), change

    def respond(self, record, questions, texts):
        said = self._oracle.respond(record, questions, texts)
        return replace(said, groundings=[self._change(record, g) for g in said.groundings])


def moved(box, **changes):
    values = {"center": box.center, "size": box.size, "rotation": box.rotation} | changes
    return Box3D(**values)


def test_a_box_too_large_by_a_third_of_its_overlap():
    def grow(_, g):  # overlap 1 / 2.5
        return replace(g, box=moved(g.box, size=g.box.size * (1, 1, 2.5))) if g.box else g

    summary = scores(Changed(grow))
    assert summary["Acc@0.25"].value == 1
    assert summary["Acc@0.5"].value == 0
    assert summary["Acc@0.5 with headings"].value == 0
    assert summary["Acc@0.25 of the likeliest box"].value == 1
    assert summary[METRES].value == pytest.approx(0)


def test_a_turned_box_fails_only_where_headings_count():
    def turn(_, g):
        quarter = np.array([[0, -1.0, 0], [1, 0, 0], [0, 0, 1]])
        return replace(g, box=moved(g.box, rotation=quarter @ g.box.rotation)) if g.box else g

    summary = scores(Changed(turn))
    assert summary["thin: Acc@0.25 with headings"].value == 0
    assert summary["thin: Acc@0.25"].value > summary["thin: Acc@0.25 with headings"].value
    assert summary[METRES].value == pytest.approx(0)


def test_center_error_is_in_metres():
    def shift(_, g):
        up = np.array([0, 0, 0.25])
        return replace(g, box=moved(g.box, center=g.box.center + up)) if g.box else g

    summary = scores(Changed(shift))
    assert summary[METRES].value == pytest.approx(0.25)


def test_nothing_found_is_a_miss_and_right_only_where_nothing_is():
    summary = scores(Changed(lambda _, g: replace(g, box=None)))
    assert summary["Acc@0.25"].value == 0
    assert summary["not here: said of absent (right)"].value == 1
    assert summary["not here: said of present (wrong)"].value == 1
    assert summary[METRES].count == 0
    assert summary[BEST_TOKEN].value == 1  # the token is judged by itself


def test_a_box_below_the_threshold_is_not_here_though_its_token_proposes_it():
    unsure = Oracle(CLIPS)
    unsure.threshold = 1.1
    summary = scores(SceneModel("unsure", unsure, depth=True))
    assert summary["Acc@0.25"].value == 0
    assert summary["Acc@0.25 of the likeliest box"].value == 1


def test_a_token_beside_the_object_is_a_miss():
    def elsewhere(record, g):
        empty = np.argwhere((record.instance[0].reshape(6, 14, 8, 14) == 0).all(axis=(1, 3)))
        return replace(g, token=(0, *empty[0])) if g.token else g

    summary = scores(Changed(elsewhere))
    assert summary[BEST_TOKEN].value == 0
    assert summary["Acc@0.25"].value == 1


def test_queries_ask_for_labels_and_for_single_things():
    for record in CLIPS:
        objects = record.truth["objects"]
        wanted = queries(record.truth)
        assert len({query.text for query in wanted}) == len(wanted)
        for query in wanted:
            labels = {objects[i]["label"] for i in query.targets}
            if query.kind == "label":
                assert labels == {query.text}
            else:
                assert len(query.targets) == (query.kind == "described")
        seen = {o["label"] for o in objects if max(o["visible_pixels"]) >= 150}
        assert {query.text for query in wanted if query.kind == "label"} == seen


def test_baselines_are_low_and_reading_the_question_beats_a_constant(blind, constant):
    assert constant[MEAN].value < blind[MEAN].value + 0.02
    assert constant[MEAN].value < 0.6
    assert constant["Acc@0.25"].value < 0.2
    assert constant["Acc@0.25"].value <= blind["Acc@0.25"].value
    assert blind["Acc@0.25"].value < 0.4
    assert constant[BEST_TOKEN].value < 0.7
    assert blind["not here: said of absent (right)"].value == 0


def test_the_constant_is_the_rule_that_did_best_in_training():
    def asks(kind, answer, question="?"):
        return {"kind": kind, "question": question, "answer": answer}

    nearer = "Which is closer to the bed, the {} or the {}?".format
    asked = [
        *(asks("count", answer) for answer in "11122345"),  # the median, 2, scores less than 1
        *(asks("absolute_distance", answer) for answer in ("1.0", "2.0", "2.1", "6.0")),
        *(asks("relative_distance", "lamp", nearer("sofa", "lamp")) for _ in range(2)),
        *(asks("relative_distance", "desk", nearer(name, "desk")) for name in ("tv", "plant")),
        asks("relative_distance", "desk", nearer("desk", "chair")),
        *(asks("attribute", answer) for answer in ("red", "unknown", "unknown")),
    ]
    constant = Constant(
        [replace(TRAINING[0], truth=TRAINING[0].truth | {"questions": asked})], GRID
    )
    questions = [
        Question("?", kind="count"),
        Question("?", kind="absolute_distance"),
        Question(nearer("desk", "old chair"), kind="relative_distance"),
        Question("?", kind="attribute"),
        Question("?", kind="yes_no"),
    ]
    said = constant.respond(CLIPS[0], questions, []).answers
    assert said == ["1", "2.0", "old chair", "red", "unknown"]


def test_blind_learns_what_words_give_away():
    def asks(kind, question, answer):
        truth = dict(
            TRAINING[0].truth, questions=[{"kind": kind, "question": question, "answer": answer}]
        )
        return replace(TRAINING[0], truth=truth)

    clips = [asks("attribute", "What colour is the plant?", "green")] * 3
    clips += [asks("attribute", "What colour is the sofa?", "red")] * 9
    clips += [
        asks("relative_distance", "Which is closer to the bed, the plant or the tv?", "tv")
    ] * 3
    blind = Blind(clips, GRID)
    questions = [
        Question("Which colour does the plant have?", kind="attribute"),
        Question("Which colour does the tv have?", kind="attribute"),
        Question("What is nearer to the desk, the red tv or the plant?", kind="relative_distance"),
        Question("How large is the tv in centimetres?", kind="size"),
    ]
    assert blind.respond(CLIPS[0], questions, []).answers == ["green", "red", "red tv", "unknown"]


def test_baselines_read_nothing_of_the_truth_but_the_camera():
    public = {key: CLIPS[0].truth[key] for key in ("camera", "stamps_ns", "poses", "fixed_frame")}
    hidden = replace(CLIPS[0], truth=public, instance=None, rgb=None, depth=None)
    for baseline in (Blind(TRAINING, GRID), Constant(TRAINING, GRID)):
        said = baseline.respond(
            hidden, [Question("Count the chairs.", kind="count")], ["chair", "the tv"]
        )
        assert len(said.answers) == 1
        assert len(said.groundings) == 2


def test_scores_are_held_against_what_is_there_and_against_right_boxes():
    def row(score, kind, iou, clip):
        return GroundingRow(
            source=f"clip {clip}", kind=kind, text="", found=score is not None, on_object=None,
            iou=iou, iou_oriented=iou, iou_proposal=iou, error_m=None, thick=None, score=score,
        )  # fmt: skip

    rows = [row(0.9, "label", 0.5, 0), row(0.9, "label", 0.1, 1), row(0.9, "described", 0.3, 2)]
    rows += [row(0.5, "absent", 0.0, 3), row(0.5, "label", 0.3, 4), row(None, "label", 0.0, 5)]
    figures = grounding_figures(rows, Units(row.source for row in rows))
    here, right = "it is here", "its box is right (Acc@0.25)"
    assert figures[f"score 0.8 to 1.0: {here}"].value == 1
    assert figures[f"score 0.4 to 0.6: {here}"].value == 0.5
    assert figures[f"score 0.8 to 1.0: {right}"].value == pytest.approx(2 / 3)
    error = figures[f"calibration error of the score: {right}"]
    assert error.value == pytest.approx(3 / 5 * (0.9 - 2 / 3))
    assert error.count == 5
    assert figures[f"calibration error of the score: {here}"].value == pytest.approx(3 / 5 * 0.1)


def test_the_score_of_what_a_model_returns_is_kept():
    *_, (results,) = evaluate([SceneModel("oracle", Oracle(CLIPS), depth=True)], CLIPS[:3])
    for row in results.rows.groundings:
        assert (row.score is not None) == row.found


def test_misses_of_a_candidate_are_not_hidden():
    short = SimpleNamespace(
        name="short", respond=lambda *_: Responses(["3"], [Grounding(None, None, None)])
    )
    with pytest.raises(ValueError, match="zip"):
        list(evaluate([short], CLIPS[:1]))


class TestCommand:
    @pytest.fixture
    def arguments(self, tmp_path, monkeypatch):
        from vega3d_ros.perception.perceiver import Perceiver

        for split, clips in (("heldout", CLIPS[:6]), ("train", TRAINING[:10])):
            write_shard(tmp_path / "clips", split, 0, clips)
        asked = []

        def load(name, **_):
            asked.append(name)
            return Oracle(CLIPS)

        monkeypatch.setattr(Perceiver, "from_pretrained", load)
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        words = f"nano --data {tmp_path}/clips --out {tmp_path}/out --clips 5 --blind-model b"
        words += " --no-prior-model n --random-prior-model r"
        return SimpleNamespace(
            parsed=parser.parse_args(words.split()), out=tmp_path / "out", asked=asked
        )

    def test_writes_a_report_with_every_candidate_side_by_side(self, arguments, capsys):
        assert command.run(arguments.parsed) == 0
        assert arguments.asked == ["nano", "n", "r", "b"]
        document = json.loads((arguments.out / "report.json").read_text())
        assert document["settings"]["clips"] == 5
        assert list(document["figures"]) == [
            "nano, depth",
            "nano, no depth",
            "no prior, depth",
            "no prior, no depth",
            "random prior, depth",
            "random prior, no depth",
            "trained blind",
            "blind statistics",
            "constant",
        ]
        assert document["figures"]["nano, depth"]["Acc@0.25"]["value"] == 1
        assert "Acc@0.25" not in document["figures"]["trained blind"]
        rows = json.loads((arguments.out / "rows.json").read_text())
        assert len({row["source"] for row in rows["nano, depth"]["groundings"]}) == 5
        text = (arguments.out / "report.md").read_text()
        assert "looks the truth up" in text
        assert text.count("nano on 5 heldout clips") == 1
        page = (arguments.out / "report.html").read_text()
        assert page.count("<h1>") == 1
        assert re.findall("<h2>(.*?)</h2>", page) == ["Made with"]
        assert 'class="bar blind"' in page
        assert "| Acc@0.25 | 100.0 (100.0 to 100.0) |" in text
        printed = capsys.readouterr().out
        assert printed.count("Acc@0.25 with headings") >= 2  # 80 columns: several tables


def test_a_model_without_a_grounding_head_is_asked_questions_only(tmp_path, capsys):
    folder = write_checkpoint(tmp_path, generative_vision_tower_size="208*128")
    for split, clips in (("heldout", CLIPS[:2]), ("train", TRAINING[:10])):
        write_shard(tmp_path / "clips", split, 0, clips)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = [str(folder), "--data", str(tmp_path / "clips"), "--out", str(tmp_path / "out")]
    assert command.run(parser.parse_args([*words, "--clips", "2"])) == 0
    figures = json.loads((tmp_path / "out" / "report.json").read_text())["figures"]
    assert figures["checkpoint, depth"][MEAN]["count"] > 10
    assert "Acc@0.25" not in figures["checkpoint, depth"]
    assert "Acc@0.25" in figures["constant"]
    text = (tmp_path / "out" / "report.md").read_text()
    assert "no grounding head, so it gives no objects" in text
    assert "was only asked questions" in text
    assert "Traceback" not in capsys.readouterr().err
