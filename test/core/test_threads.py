"""A process that runs a model beside others takes few threads, and they wait asleep."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import pytest
import torch

from vega3d_ros.cli.main import main
from vega3d_ros.core import threads
from vega3d_ros.evaluation import run as workers
from vega3d_ros.perception import loading
from vega3d_ros.perception.settings import ParameterError, load_parameters
from vega3d_ros.replay.node_process import NodeProcess

TELLS = "import json, os; print(json.dumps(dict(os.environ)), flush=True)"


class FakeMachine:
    """One on which a keyframe takes these seconds, by the number of threads."""

    def __init__(self, seconds):
        self.seconds, self.tried = seconds, []

    def __call__(self, number):
        self.tried.append(number)
        return self.seconds[number]


@pytest.fixture(autouse=True)
def _nothing_decided(monkeypatch):
    """No thread number and no way of waiting is set outside, and what a test sets is undone."""
    before, before_cv2 = torch.get_num_threads(), cv2.getNumThreads()
    for name in ("OMP_NUM_THREADS", *threads.PASSIVE):
        monkeypatch.delenv(name, raising=False)
    yield
    torch.set_num_threads(before)
    cv2.setNumThreads(before_cv2)


def test_more_threads_that_are_no_faster_are_not_taken():
    machine = FakeMachine({1: 10.0, 2: 10.0})
    assert threads.choose(machine, 2) == 1


def test_more_threads_that_are_hardly_faster_are_not_taken():
    assert threads.choose(FakeMachine({1: 10.0, 2: 8.0}), 2) == 1


def test_more_threads_that_are_clearly_faster_are_taken():
    assert threads.choose(FakeMachine({1: 10.0, 2: 5.5}), 2) == 2


def test_threads_are_doubled_until_that_gains_nothing():
    machine = FakeMachine({1: 80.0, 2: 42.0, 4: 23.0, 8: 20.0})
    assert threads.choose(machine, 64) == 4
    assert machine.tried == [1, 2, 4, 8]


def test_the_last_step_may_be_less_than_twice():
    # Three halves of the threads: half of the gain is asked for.
    assert threads.choose(FakeMachine({1: 40.0, 2: 21.0, 3: 17.0}), 3) == 3
    assert threads.choose(FakeMachine({1: 40.0, 2: 21.0, 3: 19.0}), 3) == 2


def test_a_small_model_keeps_one_thread_without_trying_more():
    machine = FakeMachine({1: threads.ENOUGH_S})
    assert threads.choose(machine, 16) == 1
    assert machine.tried == [1]


def test_one_core_is_all_there_is():
    assert threads.choose(FakeMachine({1: 100.0}), 1) == 1


def test_one_thread_is_measured_by_its_own_time_and_more_by_the_clock(monkeypatch):
    ticks = {"own": iter([0.0, 3.0, 10.0, 12.0]), "wall": iter([0.0, 8.0, 10.0, 17.0])}
    monkeypatch.setattr("time.thread_time", lambda: next(ticks["own"]))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks["wall"]))
    seen = []
    run = lambda: seen.append(torch.get_num_threads())  # noqa: E731
    assert threads.measured_s(run, 1) == 2.0
    assert threads.measured_s(run, 2) == 7.0
    assert seen == [1, 1, 2, 2]


def test_the_parameter_decides_then_the_environment_then_a_measurement(monkeypatch):
    assert threads.asked_for(threads.AUTOMATIC) is None
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert threads.asked_for(threads.AUTOMATIC) == 3
    assert threads.asked_for(2) == 2
    for nonsense in ("", "many", "0", "-2"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert threads.asked_for(threads.AUTOMATIC) is None


def test_pytorch_gets_the_number_and_opencv_one():
    cv2.setNumThreads(4)
    threads.set_threads(3)
    assert torch.get_num_threads() == 3
    assert cv2.getNumThreads() == 1


def test_the_number_of_threads_is_checked():
    assert load_parameters(threads=4).threads == 4
    for wrong in (-1, threads.MOST + 1):
        with pytest.raises(ParameterError, match=r"`threads` is .* must be in \[0, 256\]"):
            load_parameters(threads=wrong)


@pytest.mark.parametrize("command", ["demo", "replay bag", "evaluate bag"])
def test_commands_refuse_a_number_of_threads_that_cannot_be(command, capsys):
    with pytest.raises(SystemExit):
        main([*command.split(), "--threads", "-1"])
    assert "--threads: must not be negative" in capsys.readouterr().err


def test_a_loaded_model_says_how_many_threads_it_takes_and_why(monkeypatch):
    told = []
    monkeypatch.setattr(threads, "choose", lambda _measure, _most: 2)
    loading.load_ready("nano", device="cpu", frames=1, progress=told.append)
    assert f"threads: 2 of {threads.usable_cores()}, measured" in told
    assert torch.get_num_threads() == 2
    loading.load_ready("nano", device="cpu", frames=1, threads=1, progress=told.append)
    assert "threads: 1, as asked for" in told
    assert torch.get_num_threads() == 1


def test_a_measurement_leaves_no_keyframe_behind(monkeypatch):
    monkeypatch.setattr(threads, "ENOUGH_S", 0.0)
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    perceiver = loading.load_ready("nano", device="cpu", frames=1)
    assert len(perceiver._fused) == 0
    assert torch.get_num_threads() in (1, 2)


def test_the_node_is_started_with_threads_that_sleep_while_they_wait(tmp_path):
    environment = {**os.environ, "OMP_WAIT_POLICY": "ACTIVE"}
    with NodeProcess([sys.executable, "-c", TELLS], tmp_path / "log", environment) as process:
        process._process.wait()
    given = json.loads(process.log_tail())
    # What the user has set stays.
    assert {name: given[name] for name in threads.PASSIVE} == {
        **threads.PASSIVE, "OMP_WAIT_POLICY": "ACTIVE"
    }  # fmt: skip
    assert environment["OMP_WAIT_POLICY"] == "ACTIVE"
    assert "GOMP_SPINCOUNT" not in environment


def test_commands_wait_passively_before_numpy_and_pytorch_are_there():
    code = (
        "import sys; from vega3d_ros.cli.main import main; import os\n"
        "assert not {'numpy', 'torch', 'cv2'} & set(sys.modules)\n"
        "main([]); print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "PASSIVE 0"


def test_one_of_several_workers_takes_one_thread_unless_asked_for_more(monkeypatch):
    assert threads.worker_environment() == {"OMP_NUM_THREADS": "1", **threads.PASSIVE}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("GOMP_SPINCOUNT", "100")
    given = threads.worker_environment()
    assert given == {**threads.PASSIVE, "OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "100"}


def test_a_worker_has_its_environment_when_it_loads_the_model(monkeypatch):
    class Loaded(Exception):  # noqa: N818
        """Raised in place of loading."""

    def load(parameters):
        raise Loaded(os.environ["OMP_NUM_THREADS"], parameters.threads)

    class BagRun:
        parameters = load_parameters(threads=0)

    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    with pytest.raises(Loaded) as seen:
        workers._begin(None, None, load, BagRun, {"OMP_NUM_THREADS": "1"})
    assert seen.value.args == ("1", 0)
