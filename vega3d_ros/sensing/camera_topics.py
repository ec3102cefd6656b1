"""Chooses the topics of one camera among all that there are, and says why.

Recordings and running systems are looked at in the same way: by types, names, and one message of
each topic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.sensing import topic_names as names
from vega3d_ros.sensing.calibration import is_calibrated
from vega3d_ros.sensing.camera_settings import CameraSettings
from vega3d_ros.sensing.depth_registration import camera_info_beside
from vega3d_ros.sensing.fixed_frame import fixed_frame_above, frames_above
from vega3d_ros.sensing.image_decoding import depth_values, frame_of, image_to_rgb, video_format
from vega3d_ros.sensing.raw_images import ImageError
from vega3d_ros.sensing.tf_topics import choose_tf, robot_of, robots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    Rank = tuple[Any, ...]


class TopicError(Vega3dError, ValueError):
    """Topics of which no camera can be made; the message says what there is."""


@dataclass(frozen=True, kw_only=True)
class CameraTopics:
    """The topics of one camera; an empty name means that there is none.

    Attributes:
        image: Colour or grey images, Image or CompressedImage.
        camera_info: Their calibration.
        depth: Depth, registered to them or of another camera.
        depth_camera_info: Calibration of depth, where it has one of its own.
        tf: Topics of transforms.
        frame_id: The camera's optical frame, as the images name it.
        fixed_frame: The map above ``frame_id``, else the root; empty where nothing is above it.
        notes: What was chosen among several topics, or left out, and why.
        settings: What the user says of the camera.
    """

    image: str
    camera_info: str = ""
    depth: str = ""
    depth_camera_info: str = ""
    tf: tuple[str, ...] = ()
    frame_id: str = ""
    fixed_frame: str = ""
    notes: tuple[str, ...] = ()
    settings: CameraSettings = field(default_factory=CameraSettings)

    @property
    def names(self) -> tuple[str, ...]:
        """Every topic that there is."""
        calibrations = (self.camera_info, self.depth_camera_info)
        return tuple(name for name in (self.image, *calibrations, self.depth, *self.tf) if name)


_IMAGE_MERITS = (
    "it cannot be read",
    "no depth belongs to it",
    "it has no calibration",
    "it has no colours",
    "its depth is of another lens or size",
    "it is not rectified",
    "by its name a program drew into it",
    "it is the right camera of a pair",
    "it is compressed",
    "it has fewer messages",
)
_DEPTH_MERITS = (
    "its name does not say depth",
    "",  # its values, told by themselves
    "it is of another lens or size",
    "it belongs to another image by its name",
    "it is compressed",
    "it has fewer messages",
)


class CameraTopicChooser:
    """Looks at topics and chooses.

    Args:
        types: Type of every topic that has a message.
        counts: Messages of every topic.
        first: Gives a message of a topic that can be used, else any, else None.
        parents: Gives the parent of every frame that some topics of transforms tell.
    """

    def __init__(
        self,
        types: Mapping[str, str],
        counts: Mapping[str, int],
        first: Callable[[str, Callable[[Any], bool]], Any],
        parents: Callable[[Sequence[str]], Mapping[str, str]],
    ) -> None:
        self._types, self._counts = types, counts
        self._first, self._all_parents = first, parents
        self._known: dict[str, Any] = {}
        self._problems: dict[str, str] = {}
        self._parents: Mapping[str, str] = {}

    def choose(
        self,
        *,
        image: str = "",
        camera_info: str = "",
        depth: str = "",
        tf: str = "",
        settings: CameraSettings | None = None,
    ) -> CameraTopics:
        """Choose by type, content, frame and name; what is named is taken.

        Raises:
            TopicError: If there are no pictures that can be read.
        """
        notes: list[str] = []
        every_tf = self._of_type(names.TF_MESSAGE)
        # Depth of another lens needs transforms; those of other robots do no harm to that.
        self._parents = self._all_parents(every_tf)
        if not image:
            ranks = {name: self._image_rank(name, camera_info, depth) for name in self._pictures}
            image = self._best_image(ranks)
            video = {n: f"{self._types[n]} is video" for n in self._of_type(*names.VIDEOS)}
            lacks = _why_not(image, ranks, _IMAGE_MERITS, self._problems | video)
            notes += _note("image", image, lacks)
        chosen_tf, others = choose_tf(every_tf, image, tf)
        if others:  # else a recording would be read once more for the same
            self._parents = self._all_parents(chosen_tf)
        notes += _note("tf", ", ".join(chosen_tf), others)
        camera_info = camera_info or self._nearest_info(image)
        if not camera_info:
            notes.append("no camera_info: nothing can be placed in 3D")
        if not depth:
            depth, about_depth = self._depth(image, camera_info)
            notes += about_depth
        depth_info = self._depth_calibration(depth, camera_info) if depth else ""
        settings = settings or CameraSettings()
        frame_id = settings.camera_frame or self._frame_id(image)
        fixed_frame = fixed_frame_above(frame_id, self._parents)
        if not fixed_frame:
            notes.append(f"no transform leads to {frame_id!r}: results stay in the camera's frame")
        return CameraTopics(
            image=image,
            camera_info=camera_info,
            depth=depth,
            depth_camera_info=depth_info,
            tf=tuple(chosen_tf),
            frame_id=frame_id,
            fixed_frame=fixed_frame,
            notes=tuple(notes),
            settings=settings,
        )

    def _of_type(self, *types: str) -> list[str]:
        return sorted(name for name, kind in self._types.items() if kind in types)

    def _message(self, topic: str) -> Any:
        if topic not in self._known:
            kind = self._types.get(topic, "")
            usable = is_calibrated if kind == names.CAMERA_INFO else names.is_good_image
            self._known[topic] = self._first(topic, usable) if kind else None
        return self._known[topic]

    def _frame_id(self, topic: str) -> str:
        message = self._message(topic)
        return "" if message is None else frame_of(message)

    @cached_property
    def _images(self) -> list[str]:
        every = self._of_type(names.IMAGE, names.COMPRESSED_IMAGE)
        return [name for name in every if self._message(name) is not None]

    @cached_property
    def _pictures(self) -> list[str]:
        return [name for name in self._images if name not in self._doubts]

    @cached_property
    def _doubts(self) -> dict[str, str]:
        """Topics whose encoding can hold depth, and what speaks against their values."""
        return {
            name: names.doubt_of_depth(self._message(name))
            for name in self._images
            if names.may_be_depth(self._message(name))
        }

    @cached_property
    def _robots(self) -> Collection[str]:
        return robots(self._of_type(names.TF_MESSAGE))

    def _beside(self, topics: Iterable[str], image: str) -> list[str]:
        """Those that do not belong to another robot."""
        own = robot_of(image, self._robots)
        return [name for name in topics if robot_of(name, self._robots) in ("", own)]

    def _best_image(self, ranks: Mapping[str, Rank]) -> str:
        best = max(sorted(ranks), key=ranks.__getitem__, default="")
        if best and not video_format(self._message(best)):
            return best
        reasons = "".join(f"; {name}: {self._problems[name]}" for name in sorted(ranks))
        msg = f"no topic with colour or grey images that can be read{reasons}"
        raise TopicError(msg)

    def _image_rank(self, image: str, camera_info: str, depth: str) -> Rank:
        message = self._message(image)
        self._problems[image] = problem = names.problem_of_image(message)
        info = camera_info or self._nearest_info(image)
        calibrated = bool(info) and self._frame_id(info) == self._frame_id(image)
        usable, _, _ = self._depths_for(image, info)
        if depth:
            usable = {depth: usable.get(depth, False)}
        return (
            not problem,
            bool(usable),
            calibrated,
            not problem and names.is_colour(image, message),
            any(usable.values()),
            names.is_rectified(image),
            not names.is_debug(image),
            not names.is_right(image),
            self._types[image] == names.IMAGE,
            self._counts[image],
        )

    def _nearest_info(self, image: str) -> str:
        """The calibration that fits an image best: first by frame, then by name."""
        infos = self._beside(self._of_type(names.CAMERA_INFO), image)
        frame_id, beside = self._frame_id(image), camera_info_beside(image)
        return max(
            (name for name in infos if self._message(name) is not None),
            key=lambda name: (
                self._frame_id(name) == frame_id,
                name == beside,
                names.shared_parts(name, image),
            ),
            default="",
        )

    def _depths_for(
        self, image: str, camera_info: str
    ) -> tuple[dict[str, bool], dict[str, str], dict[str, str]]:
        """Depth that an image can use, and whether it is registered; what is no depth; what lacks.

        The latter two with reasons.
        """
        usable, no_depth, lacks = {}, {}, {}
        frame_id, size = self._frame_id(image), self._size(image)
        root = self._root(frame_id)
        for name in self._beside(self._doubts, image):
            by_name, doubt = names.depth_by_name(name), self._doubts[name]
            if not by_name and (by_name is False or doubt):
                no_depth[name] = doubt or "by its name no depth"
                continue
            own = self._frame_id(name)
            if own == frame_id:
                usable[name] = size in ((0, 0), self._size(name))
                continue
            info = self._depth_calibration(name, camera_info)
            if not camera_info:
                lacks[name] = "the image has no calibration"
            elif not info or self._frame_id(info) != own:
                lacks[name] = f"there is no calibration of it on {camera_info_beside(name)}"
            elif self._root(own) != root:
                lacks[name] = f"no transform leads from {own!r} to it"
            else:
                usable[name] = False
        return usable, no_depth, lacks

    def _depth(self, image: str, camera_info: str) -> tuple[str, list[str]]:
        """The depth topic of an image, or none, and what to tell of it."""
        usable, no_depth, lacks = self._depths_for(image, camera_info)
        frame_id = self._frame_id(image)
        ranks: dict[str, Rank] = {
            name: (
                bool(names.depth_by_name(name)),
                not self._doubts[name],
                registered,
                names.shared_parts(name, image),
                self._types[name] == names.IMAGE,
                self._counts[name],
            )
            for name, registered in usable.items()
        }
        depth = max(sorted(ranks), key=ranks.__getitem__, default="")
        reasons = {name: self._doubts[name] for name in usable} | no_depth
        notes = _note("depth", depth, _why_not(depth, ranks, _DEPTH_MERITS, reasons))
        own = self._frame_id(depth)
        if depth and own != frame_id:
            notes.append(f"{depth} is reprojected from {own!r} to {frame_id!r}")
        if depth and self._doubts[depth]:
            notes.append(f"{depth} is taken for depth by its name, but {self._doubts[depth]}")
        if lacks and not depth:
            listed = "; ".join(f"{name}: {reason}" for name, reason in lacks.items())
            notes.append(
                f"left out depth that is not in the image's frame {frame_id!r}, so it is not "
                f"registered to the colour camera, and cannot be reprojected: {listed}"
            )
        return depth, notes

    def _root(self, frame_id: str) -> str:
        return [frame_id, *frames_above(frame_id, self._parents)][-1]

    def _size(self, topic: str) -> tuple[int, int]:
        """Width and height of an image; zeros where it cannot be read."""
        message = self._message(topic)
        if hasattr(message, "width"):
            return int(message.width), int(message.height)
        depth = names.may_be_depth(message)
        try:
            pixels = depth_values(message) if depth else image_to_rgb(message)
        except ImageError:
            return 0, 0
        return pixels.shape[1], pixels.shape[0]

    def _depth_calibration(self, depth: str, camera_info: str) -> str:
        """The calibration of a depth topic: beside it, else of its frame and size; or none."""
        infos = [
            name
            for name in self._of_type(names.CAMERA_INFO)
            if name != camera_info and self._message(name) is not None
        ]
        beside = camera_info_beside(depth)
        if beside in infos:
            return beside
        frame_id, size = self._frame_id(depth), self._size(depth)
        for name in infos:
            info = self._message(name)
            if self._frame_id(name) == frame_id and (info.width, info.height) == size:
                return name
        return ""


def _why_not(
    taken: str, ranks: Mapping[str, Rank], merits: Sequence[str], reasons: Mapping[str, str]
) -> dict[str, str]:
    """What is wrong with each topic that was not taken, or the first merit that it lacks."""
    found = {name: reason for name, reason in reasons.items() if reason and name != taken}
    best = ranks.get(taken, ())
    for name, rank in ranks.items():
        if name != taken and name not in found:
            pairs = zip(best, rank, merits, strict=True)
            lacks = next((merit for mine, its, merit in pairs if its < mine), "")
            found[name] = lacks or "it comes later by its name"
    return dict(sorted(found.items()))


def _note(role: str, taken: str, others: Mapping[str, str]) -> list[str]:
    """What was taken and what not, as one sentence; none where there was nothing to choose."""
    listed = ", ".join(f"{name} ({reason})" for name, reason in others.items())
    return [f"{role}: took {taken or 'none'}, not {listed}"] if others else []
