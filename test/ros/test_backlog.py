"""What waits in a subscription is taken in one turn, in order, and never without end."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import pytest

from vega3d_ros.ros.backlog import backlog


class Subscription:
    """Stands for one of rclpy, with messages that wait."""

    msg_type, raw = str, False

    def __init__(self, *waiting):
        self.waiting, self.held = deque(waiting), False
        self.handle = self

    def __enter__(self):
        self.held = True

    def __exit__(self, *_):
        self.held = False

    def take_message(self, kind, raw):
        assert (kind, raw, self.held) == (str, False, True)
        return (self.waiting.popleft(), {}) if self.waiting else None


def test_all_that_waits_is_taken_in_order():
    assert list(backlog(Subscription("a", "b", "c"), 10)) == ["a", "b", "c"]
    assert list(backlog(Subscription(), 10)) == []


def test_what_is_too_much_for_a_turn_waits_for_the_next():
    subscription = Subscription("a", "b", "c")
    assert list(backlog(subscription, 2)) == ["a", "b"]
    assert list(subscription.waiting) == ["c"]
    assert not subscription.held


@pytest.mark.ros
def test_transforms_that_wait_are_taken_before_the_images_that_need_them(monkeypatch):
    from vega3d_ros.ros import tf

    def message(seconds):
        turn = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
        item = SimpleNamespace(
            header=SimpleNamespace(frame_id="map", stamp=SimpleNamespace(sec=seconds, nanosec=0)),
            child_frame_id="camera",
            transform=SimpleNamespace(
                rotation=turn, translation=SimpleNamespace(x=float(seconds), y=0.0, z=0.0)
            ),
        )
        return SimpleNamespace(transforms=[item])

    waiting = Subscription(message(2), message(3))
    monkeypatch.setattr(waiting, "take_message", lambda *_: (
        (waiting.waiting.popleft(), {}) if waiting.waiting else None
    ))  # fmt: skip
    node = SimpleNamespace(create_subscription=lambda *_: waiting)
    known = []
    transforms = tf.Transforms(
        node, lambda: known.append(transforms.lookup("map", "camera", 3 * 10**9).translation[0])
    )
    transforms._on_moving(message(1))
    assert known == [3.0]
