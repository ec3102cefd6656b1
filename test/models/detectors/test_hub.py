"""Detectors of transformers: loaded from folders, boxes in image pixels, prompts by family."""

from __future__ import annotations

import json
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from support.tiny_detectors import FIXED, FREE, NAMES, write_detector

from vega3d_ros.models.detectors import DetectorError, load_detector

# height, width: portrait, landscape, odd, narrow, smaller and larger than the input
SHAPES = [(240, 135), (135, 240), (97, 203), (203, 97), (400, 80), (40, 51), (480, 640), (64, 64)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Written once for all tests; do not write to it."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = write_detector(tmp_path_factory.mktemp("detector") / kind, kind)
        return made[kind]

    return get


@pytest.fixture(scope="session")
def planted(folder):
    """Detectors whose networks find a red square; do not change them."""
    made = {}

    def get(kind):
        if kind not in made:
            detector = load_detector(folder(kind))
            made[kind] = plant_free(detector, kind) if kind in FREE else plant_fixed(detector)
        return made[kind]

    return get


def picture(height, width):
    """A red square on black, and its box."""
    x0, y0, x1, y1 = width // 5, height // 4, width // 2, 5 * height // 8
    image = np.zeros((height, width, 3), np.uint8)
    image[y0:y1, x0:x1, 0] = 255
    return image, (x0, y0, x1, y1)


def find_red(pixel_values):
    """The red square as [1, 10, 4] boxes (centre x, y, width, height) of the input; ten alike."""
    _, _, height, width = pixel_values.shape
    red = pixel_values[0, 0] - pixel_values[0, 2]
    seen = red > (red.min() + red.max()) / 2
    rows, columns = seen.any(dim=1).nonzero()[:, 0], seen.any(dim=0).nonzero()[:, 0]
    x0, x1 = columns[0].item() / width, (columns[-1].item() + 1) / width
    y0, y1 = rows[0].item() / height, (rows[-1].item() + 1) / height
    box = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
    return box.expand(1, 10, 4)


def sure(shape, *index):
    """Logits that are low but for those given."""
    logits = torch.full(shape, -10.0)
    logits[index] = 5.0
    return logits


def plant_fixed(detector):
    def forward(pixel_values, pixel_mask=None):
        boxes = find_red(pixel_values)
        return SimpleNamespace(logits=sure((1, 10, len(NAMES)), 0, 3, 1), pred_boxes=boxes)

    detector._network.forward = forward
    return detector


def plant_free(detector, kind):
    """A network that knows the word "sofa" only, and finds the red square for it."""
    network, tokenizer = detector._family.network, detector._family._tokenizer
    (sofa,) = tokenizer(["sofa"], add_special_tokens=False)["input_ids"]

    def grounding(pixel_values, input_ids, attention_mask, token_type_ids, pixel_mask=None):
        logits = torch.full((1, 10, 40), float("-inf"))
        logits[0, :, : input_ids.shape[1]] = -10.0
        logits[0, 3, : input_ids.shape[1]][input_ids[0] == sofa[0]] = 5.0
        return SimpleNamespace(logits=logits, pred_boxes=find_red(pixel_values))

    def omdet(pixel_values, classes_input_ids, **_):
        logits = torch.full((1, 10, len(classes_input_ids)), -10.0)
        for index, ids in enumerate(classes_input_ids):
            if ids[1 : 1 + len(sofa)].tolist() == sofa:
                logits[0, 3, index] = 5.0
        return SimpleNamespace(
            decoder_class_logits=logits, decoder_coord_logits=find_red(pixel_values)
        )

    def get_text_features(input_ids, attention_mask):
        knows = [
            any((row[i : i + len(sofa)] == torch.tensor(sofa)).all() for i in range(12))
            for row in input_ids
        ]
        return SimpleNamespace(pooler_output=torch.tensor(knows).float()[:, None])

    if kind == "owlv2":
        network.image_embedder = lambda pixel_values: (pixel_values.permute(0, 2, 3, 1), None)
        network.box_predictor = lambda _, feature_map: find_red(feature_map.permute(0, 3, 1, 2))
        network.owlv2.get_text_features = get_text_features
        network.class_predictor = lambda _, embeddings: (
            torch.where(torch.arange(10)[:, None] == 3, embeddings[0].T * 15 - 10, -10.0)[None],
            None,
        )
    else:
        network.forward = omdet if kind == "omdet-turbo" else grounding
    return detector


def input_side(kind):
    size = {**FIXED, **FREE}[kind][1]["size"]
    return size.get("shortest_edge", size.get("height"))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", FIXED)
def test_a_square_seen_by_a_network_of_names_is_found_in_the_image(planted, kind, shape):
    image, box = picture(*shape)
    ((found,),) = planted(kind).detect([image], ["the sofa"])
    assert found.label == "couch"
    assert found.score == pytest.approx(torch.sigmoid(torch.tensor(5.0)).item())
    assert found.box == pytest.approx(box, abs=1 + max(shape) / input_side(kind))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", FREE)
def test_a_square_seen_by_a_network_of_texts_is_found_in_the_image(planted, kind, shape):
    image, box = picture(*shape)
    ((found,),) = planted(kind).detect([image], ["table", "Sofa.", "lamp"])
    assert found.label == "Sofa."
    assert found.score == pytest.approx(torch.sigmoid(torch.tensor(5.0)).item())
    assert found.box == pytest.approx(box, abs=1 + max(shape) / input_side(kind))


@pytest.mark.parametrize("kind", FIXED)
def test_names_and_weights_come_from_the_folder(folder, kind):
    detector = load_detector(folder(kind), threshold=0.0)
    assert detector.vocabulary == tuple(NAMES.values())
    assert detector.known("tables") == "dining table"
    images = [picture(*shape)[0] for shape in SHAPES[:2]]
    everything = detector.detect(images)
    assert any(everything)
    for image, detections in zip(images, everything, strict=True):
        height, width = image.shape[:2]
        scores = [d.score for d in detections]
        assert scores == sorted(scores, reverse=True)
        for d in detections:
            assert 0 <= d.box[0] < d.box[2] <= width
            assert 0 <= d.box[1] < d.box[3] <= height
    again = load_detector(folder(kind), threshold=0.0).detect(images, ["sofa"])
    wanted = [[(d.box, d.score) for d in found if d.label == "couch"] for found in everything]
    assert [[(d.box, d.score) for d in found] for found in again] == wanted
    assert detector.detect(images, ["cabinet"]) == [[], []]


@pytest.mark.parametrize("kind", FREE)
def test_any_text_is_known_and_none_finds_nothing(folder, kind):
    detector = load_detector(folder(kind), threshold=0.0)
    image = picture(97, 203)[0]
    assert detector.vocabulary is None
    assert detector.known("a cardboard box") == "a cardboard box"
    assert detector.known(" ?! ") is None
    assert detector.detect([image], []) == [[]]
    assert detector.detect([image], ["", " . "]) == [[]]
    found = detector.detect([image, image], ["red chair", "lamp", "red chair"])
    assert {d.label for d in found[0]} <= {"red chair", "lamp"}
    assert found[0]
    assert [(d.box, d.score) for d in found[0]] == [(d.box, d.score) for d in found[1]]


@pytest.mark.parametrize("kind", FREE)
def test_a_text_is_found_whichever_pass_it_falls_into(planted, kind):
    image, box = picture(135, 240)
    others = [f"red lamp of photo {i}" for i in range(30)]
    for place in (0, 7, 15, 30):
        texts = [*others[:place], "sofa", *others[place:]]
        ((found,),) = planted(kind).detect([image], texts)
        assert found.label == "sofa"
        assert found.box == pytest.approx(box, abs=3)


@pytest.mark.parametrize("kind", ["grounding-dino", "mm-grounding-dino"])
def test_prompts_are_the_processors_own_and_fit(folder, kind):
    detector = load_detector(folder(kind))
    family = detector._family
    processor = transformers.GroundingDinoProcessor(family._processor, family._tokenizer)
    texts = ["the red chair", "sofa", "lamp 3"]
    ((group, ids, spans),) = family._prompts(texts)
    assert list(group) == [0, 1, 2]
    assert ids == processor(text=[texts])["input_ids"][0]
    for text, span in zip(texts, spans, strict=True):
        assert ids[span] == family._tokenizer(text, add_special_tokens=False)["input_ids"]
    limit = family.network.config.max_text_len
    many = family._prompts([*texts * 9, "red " * 100])
    assert len(many) > 2
    assert all(len(ids) <= limit for _, ids, _ in many)
    assert [index for group, _, _ in many for index in group] == list(range(28))


@pytest.mark.parametrize("kind", ["grounding-dino", "mm-grounding-dino"])
def test_a_described_thing_needs_all_its_words(folder, kind):
    detector = plant_free(load_detector(folder(kind), threshold=0.6), kind)
    image = picture(97, 203)[0]
    assert [d.label for d in detector.detect([image], ["sofa"])[0]] == ["sofa"]
    assert detector.detect([image], ["red sofa"]) == [[]]


def test_prompts_of_omdet_are_not_cut_off(folder):
    detector = load_detector(folder("omdet-turbo"))
    seen = []
    forward = detector._family.network.forward

    def record(**inputs):
        seen.append(inputs)
        return forward(**inputs)

    detector._family.network.forward = record
    detector.detect([picture(97, 203)[0]], [f"red lamp {i}" for i in range(20)])
    assert sum(len(inputs["classes_input_ids"]) for inputs in seen) == 20
    dot = detector._family._tokenizer(["."], add_special_tokens=False)["input_ids"][0][0]
    for inputs in seen:
        assert inputs["tasks_input_ids"].shape == (1, 77)
        last = inputs["tasks_attention_mask"].sum().item() - 1
        assert inputs["tasks_input_ids"][0, last - 1].item() == dot
        assert inputs["classes_structure"].tolist() == [len(inputs["classes_input_ids"])]


def test_owl_gives_what_its_processor_and_network_give(folder):
    detector = load_detector(folder("owlv2"), threshold=0.0)
    family = detector._family
    processor = transformers.Owlv2Processor(family._processor, family._tokenizer)
    image, texts = picture(97, 203)[0], ["red chair", "the sofa"]
    prompts = ["a photo of a red chair", "a photo of a sofa"]
    inputs = processor(
        images=image,
        text=[prompts],
        max_length=16,
        truncation=True,
        input_data_format="channels_last",
        return_tensors="pt",
    )
    with torch.inference_mode():
        outputs = family.network(**inputs)
        boxes, scores = family.look(image, texts)
    (expected,) = processor.post_process_grounded_object_detection(
        outputs, threshold=0.0, target_sizes=[image.shape[:2]]
    )
    torch.testing.assert_close(boxes, expected["boxes"])
    torch.testing.assert_close(scores.max(dim=1).values, expected["scores"])
    assert scores.argmax(dim=1).tolist() == expected["labels"].tolist()


def test_owl_embeds_each_text_once(folder):
    detector = load_detector(folder("owlv2"))
    embedded = []
    model = detector._family.network.owlv2
    features = model.get_text_features

    def record(input_ids, attention_mask):
        embedded.append(len(input_ids))
        return features(input_ids, attention_mask=attention_mask)

    model.get_text_features = record
    image = picture(97, 203)[0]
    detector.detect([image, image], ["chair", "sofa"])
    detector.detect([image], ["sofa", "lamp", "Chair"])
    assert embedded == [2, 1]


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed")
def test_a_missing_package_is_named(folder, tmp_path):
    source = folder("omdet-turbo")
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["backbone_config"] = {"model_type": "timm_backbone", "backbone": "swin_tiny"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DetectorError, match="needs timm, which is not installed"):
        load_detector(tmp_path)


def test_missing_weights_are_refused_instead_of_drawn_at_random(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    for file in folder("d_fine").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    gone = next(name for name in weights if "encoder" in name and name.endswith("weight"))
    del weights[gone]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DetectorError, match="lacks weights"):
        load_detector(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json"])
def test_a_missing_file_is_told(folder, tmp_path, name):
    for file in folder("owlv2").iterdir():
        if file.name != name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DetectorError, match=str(tmp_path)):
        load_detector(tmp_path)
