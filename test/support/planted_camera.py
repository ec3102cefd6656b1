"""Messages of a camera that sees one small bright thing, whose place in the map is known."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np

from vega3d_ros.core.geometry import SE3

S = 10**9
SIZE = WIDTH, HEIGHT = 320, 240
FOCAL = 190.0
OPTICAL = "camera_optical_frame"
BENT = np.array([-0.3, 0.1, 0.001, -0.002, -0.01])
LOOKS_ALONG_X = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
BACKGROUND_M = 6.0


def rolled(degrees):
    """map from the optical frame of a camera 1.2 m up that looks along x, rolled clockwise."""
    a = np.radians(degrees)
    roll = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return SE3(LOOKS_ALONG_X @ roll, np.array([0.3, -0.2, 1.2]))


def header(stamp, frame_id):
    time = SimpleNamespace(sec=stamp // S, nanosec=stamp % S)
    return SimpleNamespace(stamp=time, frame_id=frame_id)


def info(stamp=S, frame_id=OPTICAL, **fields):
    k = np.array([FOCAL, 0, 163.0, 0, FOCAL + 1, 117.0, 0, 0, 1])
    values = {
        "header": header(stamp, frame_id),
        "width": WIDTH,
        "height": HEIGHT,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": k,
        "r": np.eye(3).ravel(),
        "p": np.insert(k, [3, 6, 9], 0.0),
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(width=0, height=0, x_offset=0, y_offset=0),
    }
    return SimpleNamespace(**(values | fields))


def image(stamp, pixels, encoding, frame_id=OPTICAL):
    return SimpleNamespace(
        header=header(stamp, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=pixels.tobytes(),
    )


def seen(thing, pose, of, unit=1.0, kind=np.float32):
    """Image [H, W, 3] and depth [H, W] of a thing at a place in the map; ``unit`` of depth, m."""
    point = pose.inverse().apply(np.array(thing))
    k, still = np.reshape(of.k, (3, 3)), np.zeros(3)
    u, v = cv2.projectPoints(point[None], still, still, k, of.d)[0].ravel().round().astype(int)
    assert 2 < u < of.width - 3, "the thing must be in view"
    assert 2 < v < of.height - 3, "the thing must be in view"
    pixels = np.zeros((of.height, of.width, 3), np.uint8)
    depth = np.full((of.height, of.width), BACKGROUND_M)
    spot = np.s_[v - 2 : v + 3, u - 2 : u + 3]
    pixels[spot], depth[spot] = 255, point[2]
    return pixels, (depth / unit).astype(kind)


def places(frame):
    """Where the thing is by a frame's picture and by its depth, [2, 3] in the fixed frame."""
    found = []
    nearest = np.nanmin(frame.depth_m)
    for mask in (frame.image[..., 0] > 127, frame.depth_m < BACKGROUND_M - 1):
        v, u = (axis.mean() for axis in np.nonzero(mask))
        found.append(frame.pose.apply(frame.camera.rays(np.array([u, v])) * nearest))
    return np.array(found)
