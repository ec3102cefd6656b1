"""How the node's process stops: at once, in order, whatever the model is doing."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, NoReturn

from rclpy.executors import ExternalShutdownException

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.executors import Executor

CLOSE_WAIT_S = 0.5  # for the model to end what it is doing
SPIN_S = 0.1


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    stopping = threading.Event()

    def stop(number: int, _: object) -> None:
        stopping.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopping


def spin_once(executor: Executor, report_failure: Callable[[str, str], None]) -> None:
    """Run one callback; its exceptions must not end the node.

    Args:
        executor: Of the node.
        report_failure: Called with a sentence and a traceback where the callback failed.
    """
    try:
        executor.spin_once(timeout_sec=SPIN_S)
    except ExternalShutdownException:
        raise
    except Exception as error:  # noqa: BLE001 (counted and logged)
        report_failure(f"a callback failed: {error}", traceback.format_exc())


def end(code: int) -> NoReturn:
    """End the process without waiting for threads or for libraries to be unloaded.

    A model that is being loaded or computes cannot be interrupted, and PyTorch takes seconds to
    unload. Call it when the node is closed and ROS is shut down.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
