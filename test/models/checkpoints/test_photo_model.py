"""Models without networks of this package: where their detector is found, and what they do."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from support.official_folder import golden_wan, write_checkpoint
from support.onnx_graphs import write_constant
from support.tiny_detectors import write_detector as write_detector_folder
from support.tiny_detectors import write_sam2_video
from support.tiny_models import make_clip

from vega3d_ros.cli import main as cli
from vega3d_ros.evaluation.provenance import provenance
from vega3d_ros.models.checkpoints import device_memory, memory_estimate
from vega3d_ros.models.checkpoints.auto_model import PHOTO_MODELS, automatic, resolve
from vega3d_ros.models.checkpoints.detector_files import find_networks
from vega3d_ros.models.checkpoints.device_memory import DeviceError
from vega3d_ros.models.checkpoints.load import load_modules, locate
from vega3d_ros.models.checkpoints.memory_estimate import estimate
from vega3d_ros.models.checkpoints.model_card import model_card
from vega3d_ros.models.checkpoints.model_config import read_model_config
from vega3d_ros.models.checkpoints.model_paths import shipped
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.memory import MemoryEstimate
from vega3d_ros.perception.errors import PerceiverError
from vega3d_ros.perception.loading import load_ready
from vega3d_ros.perception.perceiver import Perceiver

NANODET, YOLOX = "nanodet-plus-m_416.onnx", "yolox_nano.onnx"
SHAPES = {NANODET: (1, 3598, 112), YOLOX: (1, 3549, 85)}


def write_detector(folder, name=NANODET):
    """A file of the right form that detects nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_constant(folder / name, np.zeros(SHAPES[name]), [1, 3, 416, 416])


@pytest.fixture(autouse=True)
def nothing_is_here(monkeypatch, tmp_path):
    """A machine without detectors; returns the folder of its downloads."""
    monkeypatch.delenv("VEGA3D_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vega3d_ros" / "detectors"


@pytest.fixture
def detector(nothing_is_here):
    return write_detector(nothing_is_here)


def detector_of(perceiver):
    return perceiver.grounder.detector.family


def test_without_its_detector_it_says_where_it_looked_and_what_to_do(nothing_is_here):
    with pytest.raises(CheckpointError) as error:
        Perceiver.from_pretrained("photo-cpu")
    said = str(error.value)
    assert "\n" not in said
    for part in (
        *(NANODET, YOLOX, str(nothing_is_here), str(shipped() / "photo-cpu")),
        *("vega3d download photo-cpu", "VEGA3D_MODELS=FOLDER", "https://github.com/RangiLyu"),
    ):
        assert part in said


def test_the_first_file_of_the_list_is_taken_wherever_it_lies(detector, tmp_path, monkeypatch):
    detector.unlink()
    first, second = tmp_path / "one", tmp_path / "two"
    write_detector(first, YOLOX)
    monkeypatch.setenv("VEGA3D_MODELS", f"{first}:{second}")
    assert detector_of(Perceiver.from_pretrained("photo-cpu")) == "YOLOX"
    write_detector(second, NANODET)
    assert detector_of(Perceiver.from_pretrained("photo-cpu")) == "NanoDet-Plus"


def test_a_file_that_is_no_detector_is_named(nothing_is_here):
    nothing_is_here.mkdir(parents=True)
    (nothing_is_here / NANODET).write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match=rf"photo-cpu: .*{NANODET}.*again"):
        Perceiver.from_pretrained("photo-cpu")


def test_it_is_made_ready_as_any_model(detector):
    told = []
    perceiver = load_ready("photo-cpu", device="cpu", progress=told.append)
    assert told[0] == "memory estimate"
    assert told[-1] == "warm-up"
    assert "chair" in perceiver.queries
    assert not perceiver.has_language
    scene = perceiver.observe(make_clip(2))
    assert scene.objects == ()
    assert scene.ask("How many chairs are there?").source == "measured"
    with pytest.raises(PerceiverError, match="cannot be measured, and there is no language model"):
        scene.ask("What is the room used for?")


def test_its_networks_are_not_asked_for(detector):
    with pytest.raises(CheckpointError, match="no networks"):
        load_modules("photo-cpu")


def test_inspect_tells_its_detector_and_its_memory(detector, capsys):
    assert cli.main(["inspect", "photo-cpu"]) == 0
    told = capsys.readouterr().out
    assert "lifted" in told
    assert "memory needed" in told
    detector.unlink()
    assert cli.main(["inspect", "photo-cpu"]) == 1
    assert "vega3d download photo-cpu" in capsys.readouterr().out


def test_a_result_tells_which_detector_it_rests_on(detector):
    folder = locate("photo-cpu")
    first = provenance("photo-cpu", folder, "cpu")["model"]
    assert first["detector"] == NANODET
    write_constant(detector, np.ones(SHAPES[NANODET]), [1, 3, 416, 416])
    assert provenance("photo-cpu", folder, "cpu")["model"]["sha256"] != first["sha256"]


def test_auto_is_the_photo_model_where_it_is_complete(nothing_is_here):
    assert automatic()[0] == "nano"
    assert locate("auto").name == "nano"
    name, note = resolve("auto")
    assert name == "nano"
    assert "simulation only" in note
    assert "vega3d download photo-cpu" in note
    write_detector(nothing_is_here)
    assert automatic() == ("photo-cpu", "")
    assert locate("auto").name == "photo-cpu"
    assert resolve("auto") == ("photo-cpu", "")
    assert resolve("nano") == ("nano", "")  # asked for by name, nothing is to be told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grounder": None}, "must be one that needs none"),
        ({"grounder": {"type": "token_head"}}, "must be one that needs none"),
        ({"prior": {"type": "wan"}}, "prior must be null"),
        ({"grounder": {"type": "lifted", "detector": {"type": "magic", "files": ["a"]}}}, "magic"),
        (
            {"grounder": {"type": "lifted", "detector": {"type": "onnx", "files": ["../a"]}}},
            "without folders",
        ),
        (
            {
                "grounder": {
                    "type": "lifted",
                    "detector": {"type": "onnx", "files": ["a"], "masks": {"files": ["../m"]}},
                }
            },
            r"masks.files must be names without folders",
        ),
    ],
)
def test_parts_that_need_others_are_refused(detector, tmp_path, changes, said):
    description = json.loads((shipped() / "photo-cpu" / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(description | changes))
    with pytest.raises(CheckpointError, match=said):
        Perceiver.from_pretrained(tmp_path)


@pytest.fixture
def masked(tmp_path, nothing_is_here):
    """A model of any words with masks, of tiny networks of the true classes; and its parts."""
    parts = write_detector_folder(nothing_is_here / "words", "mm-grounding-dino")
    masks = write_sam2_video(nothing_is_here / "sam")
    description = json.loads((shipped() / "photo-cpu" / "model.json").read_text())
    description["labels"] = ["chair", "sofa"]
    description["grounder"]["detector"] = {
        "type": "any-text",
        "files": ["words"],
        "threshold": 0.0,
        "masks": {"files": ["sam"]},
    }
    model = tmp_path / "robot"
    model.mkdir()
    (model / "model.json").write_text(json.dumps(description))
    return model, parts, masks


def test_masks_are_a_setting_of_the_detector(masked):
    model, _, _ = masked
    perceiver = Perceiver.from_pretrained(model)
    image = np.random.default_rng(0).integers(0, 255, (97, 203, 3), np.uint8)
    (found,) = perceiver.grounder.detector.detect([image], ["chair"])
    assert found
    assert all(one.mask.shape == (97, 203) for one in found)


def test_missing_masks_are_named(masked, nothing_is_here):
    model, _, masks = masked
    masks.rename(nothing_is_here / "elsewhere")
    with pytest.raises(CheckpointError, match=r"needs masks, sam, and it is in none of"):
        Perceiver.from_pretrained(model)


def test_masks_of_another_kind_are_refused(masked, nothing_is_here):
    model, parts, masks = masked
    masks.rename(nothing_is_here / "elsewhere")
    (nothing_is_here / "sam").symlink_to(parts)
    with pytest.raises(CheckpointError, match=r"robot: .*sam.* cannot be loaded"):
        Perceiver.from_pretrained(model)


def test_masks_are_counted_in_its_memory(masked):
    model, parts, masks = masked
    needed = estimate(model, torch.float32).parts
    for part, folder in (("detector", parts), ("masks", masks)):
        assert needed[part] == (folder / "model.safetensors").stat().st_size
    assert needed["detection at work"] > 1 << 30


@pytest.fixture
def lent(detector, tmp_path, monkeypatch):
    """A model of a detector that takes the networks of an official checkpoint, both tiny."""
    made = write_checkpoint(tmp_path / "made")
    (tmp_path / "models").mkdir()
    made = made.rename(tmp_path / "models" / "official")
    golden_wan(made / "wan")
    monkeypatch.setenv("VEGA3D_MODELS", str(tmp_path / "models"))
    description = json.loads((shipped() / "photo-cpu" / "model.json").read_text())
    description |= {"networks": "official", "labels": ["chair"]}
    model = tmp_path / "robot"
    model.mkdir()
    (model / "model.json").write_text(json.dumps(description))
    return model


def test_the_networks_of_another_model_answer_what_cannot_be_measured(lent):
    perceiver = Perceiver.from_pretrained(lent, prior={"width": 32, "height": 32})
    assert detector_of(perceiver) == "NanoDet-Plus"
    assert perceiver.queries == ("chair",)
    assert perceiver.measured_answers
    scene = perceiver.observe(make_clip(2))
    assert scene.ask("How many chairs are there?").source == "measured"
    assert scene.ask("What is the room used for?").source == "model"


def test_lent_networks_are_counted_and_must_be_there(lent, tmp_path, capsys):
    parts = estimate(lent, torch.float32).parts
    assert {"detector", "language model", "prior"} <= set(parts)
    alone = estimate(find_networks("official", lent), torch.float32).total
    assert alone < sum(parts.values()) <= alone + parts["detector"] + (64 << 20)
    assert cli.main(["inspect", str(lent)]) == 0
    (tmp_path / "models" / "official").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"needs the networks of official.*vega3d download"):
        Perceiver.from_pretrained(lent)
    assert cli.main(["inspect", str(lent)]) == 1
    assert "networks of official" in capsys.readouterr().out


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(masked, monkeypatch):
    model, _, masks = masked
    monkeypatch.setattr(device_memory, "available", lambda _: (1 << 30, 8 << 30))
    (masks / "model.safetensors").write_bytes(b"never read")
    with pytest.raises(DeviceError, match=r"model robot needs about .*masks.*1\.00 of 8\.00 GiB"):
        Perceiver.from_pretrained(model)


@pytest.fixture
def install(nothing_is_here, monkeypatch):
    """Installs parts of presets, on a machine with a GPU of so much memory; 0: none."""

    def install(*names, gpu_gib=0):
        for name in names:
            place = nothing_is_here / name
            if name == "vega3d-sr-7b":
                place = nothing_is_here.parent / name
            place.mkdir(parents=True, exist_ok=True)
        sizes = {"photo-24gb": 20, "photo-8gb": 4}
        monkeypatch.setattr(
            device_memory,
            "pick_device",
            lambda device: device if device != "auto" else "cuda" if gpu_gib else "cpu",
        )
        monkeypatch.setattr(device_memory, "pick_dtype", lambda *_: torch.float32)
        monkeypatch.setattr(device_memory, "available", lambda _: (gpu_gib << 30, gpu_gib << 30))
        monkeypatch.setattr(memory_estimate, "fitting", lambda *_: None)
        monkeypatch.setattr(
            memory_estimate,
            "estimate",
            lambda folder, *_: MemoryEstimate({"all": sizes[folder.name] << 30}),
        )

    return install


SMALL = ("llmdet_tiny", "EdgeTAM-hf")
LARGE = ("llmdet_tiny", "sam2.1-hiera-tiny", "vega3d-sr-7b")


@pytest.mark.parametrize(
    ("parts", "gpu_gib", "chosen", "told"),
    [
        ((*SMALL, *LARGE, NANODET), 24, "photo-24gb", ""),
        ((*SMALL, *LARGE, NANODET), 8, "photo-8gb", ""),
        ((*SMALL, NANODET), 24, "photo-8gb", ""),
        ((*SMALL, *LARGE, NANODET), 2, "photo-cpu", r"photo-8gb .*needs about 4\.00 GiB"),
        ((*SMALL, NANODET), 0, "photo-cpu", r"photo-8gb .*for a GPU, and device is cpu"),
        ((SMALL[0], NANODET), 8, "photo-cpu", r"lacks its masks.*vega3d download photo-8gb"),
        ((NANODET,), 24, "photo-cpu", ""),
        ((), 24, "nano", r"simulation only.*vega3d download photo-cpu.*photo-8gb"),
        (SMALL, 0, "nano", r"simulation only.*photo-8gb is installed but was not chosen"),
    ],
)
def test_auto_is_the_best_that_is_complete_and_fits(install, parts, gpu_gib, chosen, told):
    install(*parts, gpu_gib=gpu_gib)
    name, note = automatic()
    assert name == chosen
    assert re.search(told, note) if told else note == ""
    assert locate("auto").name == chosen


def test_auto_heeds_the_device_that_is_asked_for(install):
    install(*SMALL, NANODET, gpu_gib=24)
    assert automatic("cpu")[0] == "photo-cpu"
    assert automatic("cuda:0")[0] == "photo-8gb"
    assert locate("auto", device="cpu").name == "photo-cpu"


def test_an_installed_preset_that_cannot_be_read_is_passed_over(nothing_is_here, monkeypatch):
    for name in SMALL:
        (nothing_is_here / name).mkdir(parents=True)
    monkeypatch.setattr(device_memory, "pick_device", lambda _: "cuda")
    monkeypatch.setattr(device_memory, "pick_dtype", lambda *_: torch.float32)
    monkeypatch.setattr(memory_estimate, "fitting", lambda *_: None)

    def damaged(*_):
        raise OSError("cut off")

    monkeypatch.setattr(memory_estimate, "estimate", damaged)
    name, note = automatic()
    assert name == "nano"
    assert "photo-8gb is installed but was not chosen: it cannot be read: cut off" in note


@pytest.mark.parametrize("name", PHOTO_MODELS)
def test_shipped_presets_describe_models_and_carry_their_cards(name):
    folder = shipped() / name
    config = read_model_config(folder / "model.json")
    assert config.grounder.type == "lifted"
    assert config.settings["measured_answers"]
    description = json.loads((folder / "model.json").read_text())
    assert (folder / "README.md").read_text() == model_card(name, description)
    assert f"vega3d download {name}" in description["card"]
