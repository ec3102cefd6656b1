"""The perception node as a child process, which is stopped with this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vega3d_ros.core.threads import AUTOMATIC, wait_passively
from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.sensing.tf_topics import MOVING, STATIC, is_static

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from vega3d_ros.sensing.bags.reader import CameraTopics

NODE_PARAMETERS = {"wait_s": 1.0}
"""Of a node that gets a recording: a busy machine may deliver transforms late."""

_LOG_LINES = 25
_GRACE_S = ((signal.SIGINT, 15.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))


class NodeProcess:
    """A command in a process group of its own, ended with everything that it started.

    Args:
        command: What to run.
        log: File for its output.
        environment: Its environment variables; its threads wait passively by default.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self._command, self._log, self._environment = list(command), log, dict(environment)
        wait_passively(self._environment)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            # Its own group: Ctrl-C reaches only this process, which then ends the node in order.
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Check that it still runs.

        Raises:
            RunError: If it has ended, with the last lines of its log.
        """
        if self._process is not None and (status := self._process.poll()) is not None:
            lines = f"its last lines ({self._log}):\n{self.log_tail()}"
            msg = f"the node ended with status {status}; {lines}"
            raise RunError(msg)

    def log_tail(self) -> str:
        """The last lines of its output."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])

    def stop(self) -> int | None:
        """End it by SIGINT, SIGTERM or SIGKILL; returns its exit status, None if it never ran."""
        process = self._process
        if process is None:
            return None
        for number, grace_s in _GRACE_S:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(grace_s)
        # Its children, where it left any.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.poll()


def share_folder(package: str) -> Path:
    """Where a package's configuration and message definitions are installed.

    Raises:
        RunError: If the package is not installed.
    """
    # The wheels of ROS install into the environment's prefix without naming it in the variable.
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    for prefix in filter(None, prefixes):
        folder = Path(prefix) / "share" / package
        if (folder / "msg").is_dir():
            return folder
    msg = f"{package} is not installed; run `make demo`, or build the package and source its setup"
    raise RunError(msg)


def private_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with a ROS domain of its own, on this machine only.

    The /tf and /clock of a recording must not reach a robot nearby, nor those of a robot this
    machine. A domain or range that is set already stays.
    """
    # Domains up to 101 keep off the ports that Linux gives away.
    own = {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 101),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    return {**own, **environment}


def large_image_environment(share: Path) -> dict[str, str]:
    """This process's environment, with the Fast DDS profile that carries large images.

    Without it most images over 512 KB are lost where a reader asks for best effort. A profile that
    is set already stays.
    """
    environment = dict(os.environ)
    profile = share / "config" / "fastdds_large_images.xml"
    if profile.is_file():
        # Jazzy reads the old name, later distributions the new one.
        for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
            environment.setdefault(name, str(profile))
    return environment


def launch_arguments(topics: CameraTopics) -> list[str]:
    """What a launch file gives a node for the topics of a recording, as ``name:=value``."""
    moving = next((topic for topic in topics.tf if not is_static(topic)), "")
    return [
        *_remappings(topics),
        *([f"tf:={moving}"] if moving else []),
        f"fixed_frame:={topics.fixed_frame or 'none'}",
    ]


def _remappings(topics: CameraTopics) -> list[str]:
    inputs = ("image", "camera_info", "depth", "depth_camera_info")
    return [f"{name}:={topic}" for name in inputs if (topic := getattr(topics, name))]


def node_command(model: str, topics: CameraTopics, threads: int = AUTOMATIC) -> list[str]:
    """The command line of the perception node for the topics of a recording."""
    command = [sys.executable, "-m", "vega3d_ros.ros.perception_node", "--ros-args"]
    for remapping in _remappings(topics):
        command += ["-r", remapping]
    for topic in topics.tf:
        standard = f"/{STATIC if is_static(topic) else MOVING}"
        command += ["-r", f"{standard}:={topic}"] if topic != standard else []
    parameters = {
        "model": model,
        "autostart": "true",
        "fixed_frame": topics.fixed_frame or "''",
        "use_sim_time": "true",
        "threads": threads,
        **NODE_PARAMETERS,
    }
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return command
