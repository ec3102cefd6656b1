"""What shipped models lack, fetched from where its authors publish it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from vega3d_ros.models.checkpoints.hub_download import fetch_folder
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.published import PUBLISHED, PublishedFile
from vega3d_ros.models.checkpoints.resumable import fetch, part_of
from vega3d_ros.models.detectors import DetectorError, load_detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

_UNVERIFIED = "not verified, as no checksum is known; it can be read as a detector"


@dataclass(frozen=True)
class Download:
    """Fetches parts into one folder.

    Attributes:
        folder: Where they go; a part appears there whole or not at all.
        console: Told what is fetched, and under which licence.
    """

    folder: Path
    console: Console

    def say(self, text: str) -> None:
        """One line on the console."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def here(self, names: Sequence[str]) -> Path | None:
        """The first of several parts that is there already."""
        found = (self.folder / name for name in names if (self.folder / name).exists())
        return next(found, None)

    def tell(self, names: Sequence[str]) -> None:
        """Say what would be fetched, before anything is asked of the network."""
        for place, name in enumerate(names):
            published = PUBLISHED[name]
            instead = "  or, where that cannot be had, " if place else ""
            self.say(f"{instead}{name}: licence {published.license}, by {published.source}")
            self.say(f"  from {published.url}")

    def first(self, names: Sequence[str]) -> Path:
        """The first of several parts that can be had.

        Args:
            names: Of ``PUBLISHED``.

        Raises:
            CheckpointError: If none can be had.
        """
        failures = []
        for name in names:
            try:
                self._fetch(name)
            except CheckpointError as error:
                failures.append(str(error))
                self.say(f"  {error}")
                continue
            return self.folder / name
        msg = (
            f"{' or '.join(names)} could not be downloaded: {'; '.join(failures)}; without a "
            f"network, copy it into {self.folder}"
        )
        raise CheckpointError(msg)

    def _fetch(self, name: str) -> None:
        published, place = PUBLISHED[name], self.folder / name
        self.say(f"{name}:")
        if isinstance(published, PublishedFile):
            with _bar(self.console, name) as progress:
                fetch(published.url, place, sha256=published.sha256, progress=progress)
            _accept_detector(published.url, part_of(place))
            part_of(place).replace(place)
            checked = "its SHA-256 is the known one" if published.sha256 else _UNVERIFIED
            self.say(f"  {checked}")
            return
        fetch_folder(published, place, self.say)
        if missing := [one for one in published.packages if find_spec(one) is None]:
            self.say(f"  it needs {', '.join(missing)}: pip install {' '.join(missing)}")


@contextmanager
def _bar(console: Console, name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar that is told bytes."""
    columns = TextColumn("  {task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, TransferSpeedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _accept_detector(url: str, part: Path) -> None:
    """Refuse what is no detector; it is deleted.

    Raises:
        CheckpointError: If it is none.
    """
    try:
        load_detector(part)
    except DetectorError as error:
        part.unlink()
        reason = str(error).replace(str(part), "what came")
        msg = f"{url} does not give a detector: {reason}"
        raise CheckpointError(msg) from error
