"""The folder of a run: results of other settings never mix in it, and none is lost for a new one.

``run.json`` holds the settings. A run that replaces another is written beside it, and takes its
place when it is done.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.json_io import read_object, write_json
from vega3d_ros.evaluation.schema import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RUN = "run.json"
_RESULTS = (
    "bags", "frames.png", "map.png", "node.log", "output_bag", "predictions*.jsonl", "report.html",
    "report.json", "report.md", "results.json", "rows.json",
)  # fmt: skip
_SHOWN = 4


def default_folder(kind: str, model: str) -> Path:
    """A folder named after the kind of run, the model and the day."""
    return Path("runs") / f"{kind}-{Path(model).name}-{datetime.now().astimezone():%Y-%m-%d}"


def make_folder(path: Path) -> Path:
    """The folder itself, made where missing.

    Raises:
        RunError: If it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        msg = f"cannot write to {path}: {error.strerror}; give another folder with --out"
        raise RunError(msg) from error
    return path


def read_settings(folder: Path) -> dict[str, Any] | None:
    """The settings of the run in a folder; None where it holds none."""
    file = folder / RUN
    return read_object(file) if file.is_file() else None


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that both have and that differ, by their dotted names."""
    known = dict(_flat(b))
    return {n: (v, known[n]) for n, v in _flat(a) if n in known and known[n] != v}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class RunFolder:
    """Where a run writes.

    Args:
        out: The folder that the user names.
        settings: All that decides the results, in values of JSON.
        overwrite: Whether a run with other settings may be replaced.
        resumes: Whether a run of the same settings is continued, not made anew.

    Attributes:
        path: Where to write until ``finish``.

    Raises:
        RunError: If ``out`` cannot be written to, or holds results of other settings.
    """

    def __init__(
        self, out: Path, settings: Mapping[str, Any], *, overwrite: bool, resumes: bool
    ) -> None:
        self._out = self.path = make_folder(out)
        taken = any(_results(out))
        known = read_settings(out) if taken else None
        changes = {} if known is None else differing(known, settings)
        if taken and (known is None or changes) and not overwrite:
            raise RunError(_refusal(out, known, changes))
        if taken and (known is None or changes or not resumes):
            self.path = out.resolve().with_name(f".{out.resolve().name}.unfinished")
            known = read_settings(self.path)
            if self.path.exists() and (known is None or differing(known, settings) or not resumes):
                shutil.rmtree(self.path)
                known = None
            make_folder(self.path)
        merged = {**(known or {}), **settings}
        if known is not None and isinstance(settings.get("recordings"), dict):
            merged["recordings"] = known.get("recordings", {}) | settings["recordings"]
        write_json(self.path / RUN, merged)

    def finish(self) -> None:
        """Put the run in its place, where it was written beside an earlier one."""
        if self.path == self._out:
            return
        for path in list(_results(self._out)):
            _remove(path)
        for item in self.path.iterdir():
            _remove(self._out / item.name)
            item.rename(self._out / item.name)
        self.path.rmdir()
        self.path = self._out


def _results(folder: Path) -> Iterator[Path]:
    return (path for pattern in _RESULTS for path in folder.glob(pattern))


def _refusal(
    out: Path, known: Mapping[str, Any] | None, changes: Mapping[str, tuple[Any, Any]]
) -> str:
    shown = "; ".join(f"{n}: {a}, now {b}" for n, (a, b) in list(changes.items())[:_SHOWN])
    more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    what = "other files of such names" if known is None else f"other settings ({shown}{more})"
    return (
        f"{out} holds results with {what}; give another folder with --out, or --overwrite to "
        "replace them when the new run is done"
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
