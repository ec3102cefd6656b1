"""Tests of ``vega3d benchmark``: asked of a small random model, resumed, sharded, scored."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from copy import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import benchmark_layouts as layouts
from support.tiny_models import random_modules, shared_modules

from vega3d_ros.cli import main as cli
from vega3d_ros.core.json_io import JsonError
from vega3d_ros.evaluation import benchmark_run
from vega3d_ros.evaluation.baselines.words import Words
from vega3d_ros.evaluation.benchmark_run import Predictions, Run, Shard
from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.sources.features import StoredPrior, prior_digest
from vega3d_ros.evaluation.tasks import TASKS, nearest
from vega3d_ros.models.checkpoints.save import save_modules
from vega3d_ros.perception.perceiver import Perceiver, PerceiverError
from vega3d_ros.perception.scene import Scene

ON_SCANNET = [name for name in TASKS if name != "vsi-bench"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("benchmark")
    data = layouts.video3dllm(root / "data")
    vsi = layouts.vsi_bench(root / "vsi")
    return SimpleNamespace(root=root, of=lambda name: vsi if name == "vsi-bench" else data)


@pytest.fixture(autouse=True)
def no_java(monkeypatch):
    """METEOR takes ten seconds and has a test of its own."""
    monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    """A random model says no end: 512 tokens a caption take minutes, and show what eight show."""
    ask_all = Scene.ask_all

    def ask(scene, questions, max_tokens=8):
        return ask_all(scene, questions, min(max_tokens, 8))

    monkeypatch.setattr(Scene, "ask_all", ask)


@pytest.fixture
def model(monkeypatch):
    """Arguments for the shared model, which is not loaded again for each test."""

    def load(name, **_):
        # A copy, because what keeps features is put in the place of the prior.
        return Perceiver(replace(shared_modules()))

    monkeypatch.setattr(Perceiver, "from_pretrained", load)
    return ("--model", "folder/model", "--frames", 2)


def _benchmark(folders, name, out, *more):
    words = ["benchmark", name, "--data", folders.of(name), "--out", out, *more]
    return cli.main([str(word) for word in words])


def _rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# What the official evaluators read.
OFFICIAL_FIELDS = {
    "vsi-bench": {"question_type", "prediction", "ground_truth", "options", "scene_name"},
    "scanrefer": {"pred_response", "gt_response", "question_type"},
    "multi3drefer": {"scores", "objects", "gt_response", "question_type"},
    "scan2cap": {"sample_id", "pred_response", "gt_response"},
    "scanqa": {"sample_id", "pred_response"},
    "sqa3d": {"pred_response", "gt_response", "question_type"},
}


@pytest.mark.parametrize("name", TASKS)
def test_every_benchmark_is_asked_and_scored(name, folders, model, tmp_path, capsys):
    features = folders.root / "features"
    assert _benchmark(folders, name, tmp_path, *model, "--features", features) == 0
    assert TASKS[name].headline[0] in capsys.readouterr().out
    questions = TASKS[name].questions(folders.of(name))
    rows = _rows(tmp_path / "predictions.jsonl")
    assert len(rows) == len(questions)
    for row in rows:
        assert row.keys() >= OFFICIAL_FIELDS[name]
        assert not {"refused", "hit", "references"} & row.keys()
    figures = json.loads((tmp_path / "report.json").read_text())["figures"]
    assert list(figures) == ["model", "constant", "blind"]
    assert set(TASKS[name].headline) <= set(figures["model"])
    assert "| model | constant | blind |" in (tmp_path / "report.md").read_text()
    # Benchmarks of the same scenes share the prior's work.
    assert len(list(features.glob("*.safetensors"))) in (3, 6)

    again = tmp_path / "again"
    assert _benchmark(folders, name, again, "--predictions", tmp_path / "predictions.jsonl") == 0
    scored = json.loads((again / "report.json").read_text())["figures"]
    assert scored["predictions"] == figures["model"]
    limited = ("--predictions", tmp_path / "predictions.jsonl", "--limit", 1)
    assert _benchmark(folders, name, again, *limited) == 0
    assert json.loads((again / "report.json").read_text())["settings"]["answered"] == 1


def test_a_model_folder_is_loaded(folders, tmp_path):
    save_modules(random_modules(), tmp_path / "model")
    words = ("--model", tmp_path / "model", "--frames", 2, "--limit", 1, "--dtype", "bfloat16")
    assert _benchmark(folders, "sqa3d", tmp_path / "out", *words) == 0
    (row,) = _rows(tmp_path / "out/predictions.jsonl")
    assert row["model_id"] == "model"


def test_a_run_goes_on_where_it_stopped(folders, model, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    assert _benchmark(folders, "sqa3d", whole, *model) == 0
    expected = _rows(whole / "predictions.jsonl")

    parts = tmp_path / "parts"
    assert _benchmark(folders, "sqa3d", parts, *model, "--limit", 3) == 0
    file = parts / "predictions.jsonl"
    assert len(_rows(file)) == 3
    # Killed while it wrote.
    with file.open("a") as out:
        out.write('{"sample_id": 2206')
    asked = []
    real = Run.answers
    monkeypatch.setattr(
        Run, "answers", lambda self, p, r, left: asked.append(left) or real(self, p, r, left)
    )
    assert _benchmark(folders, "sqa3d", parts, *model) == 0
    assert sorted(q.id for group in asked[0].values() for q in group) == [
        str(row["sample_id"]) for row in expected[3:]
    ]
    assert _rows(file) == expected


def test_shards_share_a_folder_and_the_last_scores_all(folders, model, tmp_path, capsys):
    assert _benchmark(folders, "scanrefer", tmp_path, *model, "--shard", "1/2") == 0
    assert "4 of 6 questions answered" in (tmp_path / "report.md").read_text()
    assert "Not all questions are answered yet" in capsys.readouterr().out
    assert _benchmark(folders, "scanrefer", tmp_path, *model, "--shard", "2/2") == 0
    assert "6 of 6 questions answered" in (tmp_path / "report.md").read_text()
    assert len(_rows(tmp_path / "predictions-2-of-2.jsonl")) == 2


def test_predictions_of_another_model_are_not_mixed(folders, model, tmp_path, capsys):
    more = (*model, "--limit", 1)
    assert _benchmark(folders, "scanqa", tmp_path, *more) == 0
    before = (tmp_path / "report.json").read_text()
    assert _benchmark(folders, "scanqa", tmp_path, *more, "--frames", 3) == cli.USAGE_ERROR
    assert "other settings (frames: 2, now 3)" in capsys.readouterr().err
    assert (tmp_path / "report.json").read_text() == before
    replaced = (*more, "--frames", 3, "--limit", 2, "--overwrite")
    assert _benchmark(folders, "scanqa", tmp_path, *replaced) == 0
    assert len(_rows(tmp_path / "predictions.jsonl")) == 2


def test_predictions_are_not_scored_over_the_run_that_wrote_them(folders, model, tmp_path, capsys):
    assert _benchmark(folders, "scanqa", tmp_path, *model, "--limit", 1) == 0
    file = tmp_path / "predictions.jsonl"
    for words in ((), ("--overwrite",)):
        scoring = ("--predictions", file, *words)
        assert _benchmark(folders, "scanqa", tmp_path, *scoring) == cli.USAGE_ERROR
        assert "give another folder" in capsys.readouterr().err
    assert len(_rows(file)) == 1


def test_kept_features_change_nothing(folders, model, tmp_path):
    more = (*model, "--limit", 2)
    for name in ("first", "second"):
        out = tmp_path / name
        assert _benchmark(folders, "scanrefer", out, *more, "--features", tmp_path / "kept") == 0
    assert _benchmark(folders, "scanrefer", tmp_path / "none", *more, "--no-features") == 0
    assert not (tmp_path / "none/features").exists()
    first, second, none = (
        _rows(tmp_path / name / "predictions.jsonl") for name in ("first", "second", "none")
    )
    assert first == second == none


def test_the_prior_is_asked_once(tmp_path):
    prior = shared_modules().prior
    digest = prior_digest(prior)
    kept = StoredPrior(prior, digest, tmp_path, torch.float32)
    images = torch.rand(2, 3, 32, 32)
    fresh = prior.encode(images, [1, 2])
    assert torch.equal(kept.encode(images, [1, 2]), fresh)
    asleep = copy(prior)
    asleep.encode = None
    again = StoredPrior(asleep, digest, tmp_path, torch.float32)
    assert torch.equal(again.encode(images, [1, 2]), fresh)
    assert again.dim == prior.dim
    for other in ((images, [1, 3]), (images / 2, [1, 2])):
        with pytest.raises(TypeError):
            again.encode(*other)
    # Written in part by a run that was killed.
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(kept.encode(images, [1, 2]), fresh)
    half = StoredPrior(prior, digest, tmp_path / "half", torch.bfloat16)
    noise = torch.zeros(2, prior.vae.config.z_dim, *(2 * side for side in prior.grid))
    assert torch.equal(
        half.encode(images, [1, 2], noise=noise), prior.encode(images, [1, 2], noise=noise)
    )
    rounded = fresh.bfloat16().float()
    assert torch.equal(half.encode(images, [1, 2]), rounded)
    assert torch.equal(half.encode(images, [1, 2]), rounded)


def test_the_digest_tells_weights_and_settings_apart():
    one = random_modules(seed=0).prior
    assert prior_digest(one) == prior_digest(random_modules(seed=0).prior)
    other = random_modules(seed=0).prior
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert prior_digest(one) != prior_digest(other)


class Touchy:
    """Refuses questions with a certain word."""

    frames_left_out = 0

    def reset(self):
        pass

    def observe(self, clip):
        return self

    def ask_all(self, texts, max_tokens):
        if any("place 1" in text for text in texts):
            raise PerceiverError("not that one")
        return [SimpleNamespace(text="red chair") for _ in texts]


def test_refused_questions_are_written_down_and_counted(folders):
    task = TASKS["scanqa"]
    data = folders.of("scanqa")
    questions = Shard().of(task.questions(data))
    rows = [
        row
        for group in Run(task, "touchy").answers(Touchy(), task.reader(data), questions)
        for row in group
    ]
    assert [row["pred_response"] for row in rows] == ["red chair", ""] * 3
    assert [row.get("refused") for row in rows] == [None, "not that one"] * 3
    figures = task.summarise(benchmark_run.joined(task, task.questions(data), rows))
    assert figures["EM"].value == 0.5


def test_a_model_that_refuses_everything_is_found_out_at_once(folders):
    task = TASKS["sqa3d"]
    reader = task.reader(folders.of("sqa3d"))
    questions = Shard().of(task.questions(folders.of("sqa3d")))
    unable = Touchy()
    unable.ask_all = lambda texts, _: Touchy.ask_all(unable, ["place 1"], 16)
    with pytest.raises(RunError, match=r"refused every question about scannet.*not that one"):
        next(Run(task, "unable").answers(unable, reader, questions))


def test_scan2cap_leaves_missed_boxes_empty(folders):
    task = TASKS["scan2cap"]
    questions = task.questions(folders.of("scan2cap"))
    rows = task.respond(Touchy(), questions, task.reader(folders.of("scan2cap")))
    assert [row["pred_response"] for row in rows] == ["red chair", ""] * 3


def test_foreign_predictions_are_refused(folders, tmp_path, capsys):
    file = tmp_path / "other.jsonl"
    for row, match in (
        ({"sample_id": 7}, "which no question of scanqa has"),
        ({"sample_id": "scanqa_val-0-0_0"}, "no field 'pred_response'"),
        (None, "line 1 is no JSON object"),
    ):
        file.write_text(f"{'x' if row is None else json.dumps(row)}\n" * 2)
        assert _benchmark(folders, "scanqa", tmp_path, "--predictions", file) == cli.USAGE_ERROR
        assert match in capsys.readouterr().err
    file.write_text("")
    assert _benchmark(folders, "scanqa", tmp_path, "--predictions", file) == cli.USAGE_ERROR
    assert "no prediction to score" in capsys.readouterr().err


def test_scoring_needs_no_torch():
    code = (
        "import sys; from vega3d_ros.evaluation import benchmark_command as command\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_no_data_is_said_at_once(tmp_path, capsys):
    words = ["benchmark", "scanqa", "--data", str(tmp_path / "nowhere"), "--model", "nano"]
    assert cli.main(words) == cli.USAGE_ERROR
    assert "nowhere is missing" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0"])
def test_odd_shards_are_refused(text):
    with pytest.raises(ValueError, match="a shard is written"):
        Shard.parse(text)


def test_shards_hold_every_question_once_and_keep_scenes_together(folders):
    questions = TASKS["sqa3d"].questions(folders.of("sqa3d"))
    parts = [Shard(i + 1, 2).of(questions) for i in range(2)]
    scenes = [set(part) for part in parts]
    assert not scenes[0] & scenes[1]
    assert sum(len(group) for part in parts for group in part.values()) == len(questions)


def test_a_folder_with_damaged_predictions_is_named(tmp_path):
    (tmp_path / "predictions.jsonl").write_text('x\n{"id": 1}\n')
    with pytest.raises(JsonError, match=r"predictions\.jsonl, line 1"):
        Predictions(tmp_path, Shard(), "id")


def test_boxes_are_also_scored_as_the_nearest_proposal():
    near, far = [0.0, 0, 0, 1, 1, 1], [5.0, 0, 0, 1, 1, 1]
    assert nearest([0.3, 0, 0, 1, 1, 1], [far, near]) == near
    assert nearest([9.0, 9, 9, 1, 1, 1], [far, near]) == [9.0, 9, 9, 1, 1, 1]
    assert nearest(near, []) == near


def _guessed(folders, name, baseline):
    task = TASKS[name]
    data = folders.of(name)
    return task.baselines[baseline](task.questions(data), task.reader(data))


def test_baselines_know_habits_and_words(folders):
    boxes = [row["pred_box"] for row in _guessed(folders, "scanrefer", "blind")]
    # The proposal of the size that chairs and tables have elsewhere.
    assert boxes == [[*box, 0.0] for box in layouts.BOXES] * 3
    (middle,) = {tuple(row["pred_response"]) for row in _guessed(folders, "scanrefer", "constant")}
    assert middle == pytest.approx(np.median(layouts.BOXES, axis=0))
    counts = [len(row["pred_boxes"]) for row in _guessed(folders, "multi3drefer", "blind")]
    assert counts == [2, 0] * 3
    said = [row["prediction"] for row in _guessed(folders, "vsi-bench", "constant")]
    assert said == ["3", "3", "25.5", "A", "B"] * 3
    said = [row["prediction"] for row in _guessed(folders, "vsi-bench", "blind")]
    assert said[2:5] == ["25.5", "A", "B"]
    said = [row["pred_response"] for row in _guessed(folders, "scanqa", "blind")]
    assert said[0] in ("red chair", "table", "thing")
    said = [row["pred_response"] for row in _guessed(folders, "sqa3d", "constant")]
    assert said == ["chair", "no"] * 3
    said = [row["pred_response"] for row in _guessed(folders, "scan2cap", "blind")]
    assert said == ["This is a red chair. it is by the door.", ""] * 3


@pytest.mark.parametrize("name", TASKS)
def test_baselines_never_see_the_truth_of_the_scene_they_are_asked_about(name, folders):
    """With one scene, there is nothing to learn from."""
    task = TASKS[name]
    questions = task.questions(folders.of(name))
    alone = [question for question in questions if question.source == questions[0].source]
    empty = SimpleNamespace(proposals=lambda scene: [])
    for guess in task.baselines.values():
        rows = guess(alone, empty)
        assert len(rows) == len(alone)
        for question, row in zip(alone, rows, strict=True):
            if question.known.get("answers") or question.kind == "object_counting":
                assert row[task.needed] == ""


def test_words_rank_rare_ones_higher():
    texts = ["the red chair", "the red table", "the lamp", ""]
    words = Words(texts)
    everything = np.arange(4)
    assert words.nearest("a lamp, the red one", 1, everything).tolist() == [2]
    assert words.nearest("the table", 2, everything).tolist() == [1]  # nothing is half as alike
    assert words.nearest("the red", 9, everything[:2]).tolist() == [0, 1]
    assert words.nearest("zebra", 1, everything).tolist() == [0]
    assert words.middle(everything) in (0, 1)
