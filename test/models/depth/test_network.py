"""Metric depth networks: depth lies where the pixels are, and is scaled by the focal length."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models.priors.contract import most_live
from support.tiny_depth import NETWORKS, write_depth_network

from vega3d_ros.core.frames import Camera, Frame
from vega3d_ros.models.depth import DepthError
from vega3d_ros.models.depth.network import NetworkDepth
from vega3d_ros.models.depth.network_files import memory

# height, width: landscape, portrait, odd, narrow
SHAPES = [(120, 160), (160, 120), (97, 203), (203, 97), (64, 64), (240, 100)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Written once for all tests; do not write to it."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = write_depth_network(tmp_path_factory.mktemp("depth") / kind, kind)
        return made[kind]

    return get


def frame_of(image, focal=100.0):
    height, width = image.shape[:2]
    camera = None
    if focal is not None:
        camera = Camera(
            width=width, height=height, fx=focal, fy=focal,
            cx=(width - 1) / 2, cy=(height - 1) / 2,
        )  # fmt: skip
    return Frame(1, image, "camera", camera)


def picture(height, width):
    """A red square on black, and its box."""
    x0, y0, x1, y1 = width // 5, height // 4, width // 2, 5 * height // 8
    image = np.zeros((height, width, 3), np.uint8)
    image[y0:y1, x0:x1, 0] = 255
    return image, (x0, y0, x1, y1)


def planted(folder, kind, **options):
    """A network that says 1 m where its input is red, and 3 m elsewhere (for DepthPro, 1 / m)."""
    source = NetworkDepth(folder(kind), **options)

    def forward(pixel_values):
        red = pixel_values[:, 0] - pixel_values[:, 2]
        share = (red - red.min()) / (red.max() - red.min())
        near, far = (1.0, 1 / 3) if kind == "depth_pro" else (1.0, 3.0)
        return SimpleNamespace(
            predicted_depth=far + (near - far) * share, field_of_view=torch.tensor([90.0])
        )

    source._network.forward = forward
    return source


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_a_network_of_the_true_class_gives_metres_at_the_images_size(folder, kind):
    source = NetworkDepth(folder(kind))
    image = np.random.default_rng(0).integers(0, 255, (97, 131, 3)).astype(np.uint8)
    found = source.depth(frame_of(image))
    assert found.metres.shape == (97, 131)
    assert found.metres.dtype == np.float32
    assert found.source == "network"
    assert found.scale_error > 0
    known = found.metres[np.isfinite(found.metres)]
    assert len(known)
    assert (known > 0).all()
    np.testing.assert_array_equal(source.depth(frame_of(image)).metres, found.metres)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_depth_lies_where_the_pixels_are(folder, kind, shape):
    image, (x0, y0, x1, y1) = picture(*shape)
    # A focal length at which DepthPro's canonical depth is in metres.
    metres = planted(folder, kind).depth(frame_of(image, float(shape[1]))).metres
    near = metres < 1.8
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    coarse = max(shape) / 48  # pixels of the image in one of the smallest input
    assert np.abs(box - [x0, y0, x1, y1]).max() <= max(1.5, coarse)
    middle = metres[(y0 + y1) // 2, (x0 + x1) // 2]
    assert middle == pytest.approx(1.0, rel=0.05)
    assert metres[-3, -3] == pytest.approx(3.0, rel=0.05)


def test_a_focal_length_that_is_known_wins_over_the_one_that_depthpro_guesses(folder):
    image, _ = picture(120, 160)
    source = planted(folder, "depth_pro")
    guessed = source.depth(frame_of(image, None)).metres  # 90 degrees: half the width
    known = source.depth(frame_of(image, 160.0)).metres
    np.testing.assert_allclose(known, 2 * guessed, rtol=1e-5)


def test_a_canonical_focal_length_scales_depth_by_the_cameras_own(folder):
    image, _ = picture(120, 160)
    plain = planted(folder, "depth_anything").depth(frame_of(image, 240.0)).metres
    scaled = planted(folder, "depth_anything", canonical_focal=1.0).depth(frame_of(image, 240.0))
    np.testing.assert_allclose(scaled.metres, 2 * plain, rtol=1e-5)


def test_without_calibration_a_network_that_needs_it_is_refused_by_name(folder, tmp_path):
    frame = frame_of(picture(60, 80)[0], None)
    assert NetworkDepth(folder("depth_anything")).depth(frame).metres.shape == (60, 80)
    with pytest.raises(DepthError, match=r"depth_anything needs .*focal length.*camera_info"):
        NetworkDepth(folder("depth_anything"), canonical_focal=1.0).depth(frame)
    blind = write_depth_network(tmp_path / "without-fov", "depth_pro", use_fov_model=False)
    with pytest.raises(DepthError, match=r"without-fov needs .*focal length"):
        NetworkDepth(blind).depth(frame)


def test_a_network_of_relative_depth_is_refused(tmp_path):
    folder = write_depth_network(tmp_path / "relative", "depth_anything", estimates="relative")
    with pytest.raises(DepthError, match="relative depth, not metres"):
        NetworkDepth(folder)


def test_a_network_of_another_kind_is_refused_with_those_that_are_known(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dpt"}))
    with pytest.raises(DepthError, match=r"dpt.*known: depth_anything, depth_pro"):
        NetworkDepth(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_damaged_folder_is_named(tmp_path, name):
    folder = write_depth_network(tmp_path / "broken", "depth_pro")
    (folder / name).write_bytes(b"{")
    with pytest.raises(DepthError, match="broken"):
        NetworkDepth(folder)


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_its_memory_bounds_its_weights_and_its_work(folder, kind):
    needed, source = memory(folder(kind)), NetworkDepth(folder(kind))
    weights = sum(p.numel() * 4 for p in source._network.parameters())
    assert needed["depth network"] >= weights
    frame = frame_of(picture(90, 160)[0])
    assert 0 < most_live(lambda: source.depth(frame)) <= needed["depth network at work"]
