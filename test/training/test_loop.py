import json

import pytest
import torch
from torch import nn

from vega3d_ros.training.loop import Schedule, TrainingError, optimise

pytestmark = pytest.mark.numeric

SCHEDULE = Schedule(steps=12, learning_rate=0.05, warmup_steps=3, checkpoint_s=1e9)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C at a chosen step."""


def run(out, *, resume=False, stop_at=None, schedule=SCHEDULE):
    torch.manual_seed(0)
    model = nn.Linear(4, 1)

    def loss_at(step):
        if step == stop_at:
            raise Interrupted
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    optimise("test", {"model": model}, loss_at, schedule, out, resume=resume)
    return model.state_dict()


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", stop_at=5)
    parts = run(tmp_path / "parts", resume=True)
    for name, value in whole.items():
        assert torch.equal(value, parts[name])


def test_a_fresh_run_does_not_look_at_what_was_there(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path, resume=False)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_finished_run_is_not_repeated(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path, resume=True, stop_at=0)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_log_tells_the_losses(tmp_path):
    run(tmp_path, schedule=Schedule(steps=41, learning_rate=0.05, warmup_steps=3))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 20, 40]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    model = nn.Linear(1, 1)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        optimise(
            "test",
            {"model": model},
            lambda _: {"loss": model(torch.tensor([[torch.nan]])).sum()},
            SCHEDULE,
            tmp_path,
            resume=False,
        )


def test_the_rate_warms_up_and_decays():
    rates = [SCHEDULE.rate(step) for step in range(12)]
    assert rates[0] < rates[1] < rates[2] <= 0.05
    assert rates[-1] < rates[2] / 5
