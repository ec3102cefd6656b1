from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from support.patience import patience, wait_until

from vega3d_ros.core.frames import Camera, Clip, Frame
from vega3d_ros.core.geometry import Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.object_map import ObjectMap
from vega3d_ros.perception.work_item import Stage, WorkError, WorkItem
from vega3d_ros.perception.worker import Status, Worker

DEADLINE_S = patience(10)


def clip(stamp):
    camera = Camera(width=6, height=4, fx=5.0, fy=5.0, cx=3.0, cy=2.0)
    return Clip((Frame(stamp, np.zeros((4, 6, 3), np.uint8), "camera", camera),))


def thing(stamp, label="chair", x=0.0, frame_id="map"):
    return SceneObject(
        label=label,
        query=label,
        score=0.9,
        box=Box3D.upright([x, 0, 0], [1, 1, 1]),
        frame_id=frame_id,
        stamp_ns=stamp,
        covariance=np.eye(6) * 0.01,
        orientation_estimated=True,
        observations=1,
        depth_coverage=0.0,
    )


class Scene:
    looks = ()

    def __init__(self, clip):
        self.clip = clip
        self.objects = (thing(clip.stamp_ns),)


class Perceiver:
    """Waits for ``gate`` in ``observe``, and tells that it did."""

    def __init__(self):
        self.queries = ("chair",)
        self.asked = []
        self.resets = 0
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def observe(self, clip):
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        self.asked.append(self.queries)
        if clip.stamp_ns == 13:
            raise ValueError("unlucky")
        return Scene(clip)

    def reset(self):
        self.resets += 1


@pytest.fixture
def perceiver():
    return Perceiver()


@pytest.fixture
def start(perceiver):
    workers = []

    def make(load=lambda: perceiver, **how):
        scenes, failures = [], []
        worker = Worker(load, ObjectMap(), scenes.append, lambda *f: failures.append(f), **how)
        worker.scenes, worker.failures = scenes, failures
        worker.start()
        workers.append(worker)
        return worker

    yield make
    perceiver.gate.set()
    for worker in workers:
        worker.stop()


def until(condition):
    wait_until(condition, "the worker", period_s=0.002)


def request(
    run=lambda state: state.sequence,
    ready=lambda state: state is not None,
    deadline_s=10 * DEADLINE_S,
):
    return WorkItem(run, time.monotonic_ns() + int(deadline_s * 1e9), ready)


def test_loading_and_its_failure_are_told(start):
    worker = start()
    assert worker.wait_until_loaded(DEADLINE_S) is Status.READY
    worker.stop()
    assert worker.status is Status.STOPPED

    def fail():
        raise FileNotFoundError("no such folder")

    worker = start(fail)
    assert worker.wait_until_loaded(DEADLINE_S) is Status.FAILED
    assert worker.failure == "no such folder"
    assert "Traceback" in worker.failures[0][1]


def test_waiting_for_the_model_is_bounded(start, perceiver):
    go = threading.Event()
    worker = start(lambda: go.wait(DEADLINE_S) and perceiver)
    assert worker.wait_until_loaded(0.05) is Status.LOADING
    go.set()
    assert worker.wait_until_loaded(DEADLINE_S) is Status.READY


def test_only_the_newest_clip_waits(start, perceiver):
    worker = start()
    perceiver.gate.clear()
    worker.submit_clip(clip(1), 0)
    assert perceiver.entered.wait(DEADLINE_S)
    assert not worker.withdraw_clip()  # it is being looked at
    worker.submit_clip(clip(2), 0)
    worker.submit_clip(clip(3), 0)
    assert worker.withdraw_clip()
    worker.submit_clip(clip(4), 0)
    perceiver.gate.set()
    until(lambda: len(worker.scenes) == 2)
    assert [state.scene.clip.stamp_ns for state in worker.scenes] == [1, 4]
    assert [state.sequence for state in worker.scenes] == [1, 2]


def test_a_clip_that_fails_is_counted_and_the_next_one_understood(start):
    worker = start()
    worker.submit_clip(clip(13), 0)
    until(lambda: worker.failed == 1)
    assert "unlucky" in worker.failures[0][0]
    assert "unlucky" in worker.clip_failure
    worker.submit_clip(clip(13), 0)
    until(lambda: worker.failed == 2)
    worker.submit_clip(clip(14), 0)
    until(lambda: worker.scenes)
    assert worker.clip_failure == ""
    assert len(worker.failures) == 1  # the same words are logged once


def test_requests_are_answered_from_the_newest_scene(start):
    worker = start()
    work = request(ready=lambda state: state is not None and state.sequence == 2)
    assert worker.submit(work)
    worker.submit_clip(clip(1), 0)
    until(lambda: worker.scenes)
    until(lambda: work.stage is Stage.WAITING_FOR_SCENE)
    worker.submit_clip(clip(2), 0)
    until(lambda: work.done)
    assert work.result == 2


def test_a_request_that_is_refused_or_fails_is_settled(start):
    worker = start()

    def refuse(state):
        raise WorkError(7, "no")

    def break_down(state):
        raise ZeroDivisionError("oh")

    refused, broken = request(ready=refuse), request(break_down)
    worker.submit(refused)
    worker.submit_clip(clip(1), 0)
    worker.submit(broken)
    until(lambda: refused.done and broken.done)
    assert refused.error.code == 7
    assert isinstance(broken.error, ZeroDivisionError)
    assert worker.failed == 1


def test_deadlines_hold_while_the_model_is_busy(start, perceiver):
    worker = start()
    perceiver.gate.clear()
    worker.submit_clip(clip(1), 0)
    late, patient = request(deadline_s=0), request()
    assert worker.submit(late)
    assert worker.submit(patient)
    worker.expire(time.monotonic_ns(), WorkError(5, "late"))
    assert late.done
    assert late.error.code == 5
    assert not patient.done
    perceiver.gate.set()
    until(lambda: patient.done)
    assert patient.result == 1
    assert not late.settle("too late")


def test_the_queue_is_bounded(start):
    worker = start(max_requests=2)
    assert worker.submit(request())
    assert worker.submit(request())
    assert not worker.submit(request())


def test_a_flood_of_requests_does_not_starve_clips(start):
    worker = start()
    worker.submit_clip(clip(1), 0)
    until(lambda: worker.scenes)
    go = threading.Event()
    flood = [request(lambda state: go.wait(DEADLINE_S) and state.sequence) for _ in range(16)]
    for work in flood:
        assert worker.submit(work)
    worker.submit_clip(clip(2), 0)
    go.set()
    until(lambda: all(work.done for work in flood))
    assert flood[-1].result == 2  # the clip did not wait for the last of them


def test_reset_forgets_and_what_was_at_work_is_thrown_away(start, perceiver):
    worker = start()
    worker.submit_clip(clip(100), 0)
    until(lambda: worker.scenes)
    perceiver.gate.clear()
    perceiver.entered.clear()
    worker.submit_clip(clip(200), 0)
    assert perceiver.entered.wait(DEADLINE_S)
    waiting = request(ready=lambda state: False)
    worker.submit(waiting)
    worker.reset(WorkError(6, "reset"))
    assert waiting.error.code == 6
    assert worker.state is None
    perceiver.gate.set()
    worker.submit_clip(clip(3), 0)  # older: time was set back
    until(lambda: len(worker.scenes) == 2)
    assert [state.scene.clip.stamp_ns for state in worker.scenes] == [100, 3]
    assert perceiver.resets == 1
    assert not worker.failures
    worker.reset(WorkError(6, "reset"))
    worker.restart_count()
    worker.submit_clip(clip(4), 0)
    until(lambda: len(worker.scenes) == 3)
    assert worker.scenes[-1].sequence == 1


def test_queries_can_be_set_and_taken_back(start, perceiver):
    worker = start()
    worker.wait_until_loaded(DEADLINE_S)
    worker.set_queries(("lamp",))
    assert worker.queries() == ("lamp",)
    worker.submit_clip(clip(1), 0)
    until(lambda: worker.scenes)
    worker.set_queries(())
    assert worker.queries() == ("chair",)
    worker.submit_clip(clip(2), 0)
    until(lambda: len(worker.scenes) == 2)
    assert perceiver.asked == [("lamp",), ("chair",)]
    assert [state.queries for state in worker.scenes] == [("lamp",), ("chair",)]


def test_objects_found_for_a_request_get_the_name_of_what_they_lie_on(start):
    worker = start()
    worker.submit_clip(clip(1), 0)
    until(lambda: worker.scenes)
    state = worker.scenes[0]
    assert state.objects[0].id == "chair-1"
    near, far, elsewhere = state.named(
        [thing(1, "the chair", 0.1), thing(1, "lamp", 3.0), thing(1, "chair", 0.0, "camera")]
    )
    assert (near.id, far.id, elsewhere.id) == ("chair-1", "", "")


def test_stop_joins_while_work_waits(start, perceiver):
    worker = start()
    perceiver.gate.clear()
    worker.submit_clip(clip(1), 0)
    assert perceiver.entered.wait(DEADLINE_S)
    worker.submit_clip(clip(2), 0)
    stop = threading.Thread(target=worker.stop)
    stop.start()
    until(lambda: worker._stopping)
    perceiver.gate.set()
    stop.join(DEADLINE_S)
    assert not worker._thread.is_alive()
    assert perceiver.asked == [("chair",)]
