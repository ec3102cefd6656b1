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
from vega3d_ros.sensing.depth_registration import camera_info_beside
from vega3d_ros.sensing.image_decoding import depth_values, frame_of, image_to_rgb, video_format
from vega3d_ros.sensing.raw_images import ImageError
from vega3d_ros.sensing.tf_topics import choose_tf, robot_of, robots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    Rank = tuple[Any, ...]


class TopicError(Vega3dError, ValueError):
    """Topics of which no camera can be made; the message says what there is."""


@dataclass(frozen=True)
class Choice:
    """Which topic was taken for one purpose.

    Attributes:
        role: ``image``, ``camera_info``, ``depth`` or ``tf``.
        taken: The topic, or several; empty where none fits.
        rejected: The others that came into question, and why each was not taken.
        why: What speaks for it; empty where there was nothing to choose.
    """

    role: str
    taken: str
    rejected: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    def sentence(self) -> str:
        """Empty where there was nothing to choose."""
        others = ", ".join(f"{name} ({reason})" for name, reason in self.rejected.items())
        return f"{self.role}: took {self.taken or 'none'}, not {others}" if others else ""


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
        fixed_frame: The root of the transforms above ``frame_id``; empty where there are none.
        notes: What was chosen among several topics, or left out, and why.
        choices: The same, for each purpose.
    """

    image: str
    camera_info: str = ""
    depth: str = ""
    depth_camera_info: str = ""
    tf: tuple[str, ...] = ()
    frame_id: str = ""
    fixed_frame: str = ""
    notes: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()

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
        self, *, image: str = "", camera_info: str = "", depth: str = "", tf: str = ""
    ) -> CameraTopics:
        """Choose by type, content, frame and name; what is named is taken.

        Raises:
            TopicError: If there are no pictures that can be read.
        """
        named = image
        every_tf = self._of_type(names.TF_MESSAGE)
        # Depth of another lens needs transforms; those of other robots do no harm to that.
        self._parents = self._all_parents(every_tf)
        ranks = {name: self._image_rank(name, camera_info, depth) for name in self._pictures}
        if not image:
            image = self._best_image(ranks)
        video = {n: f"{self._types[n]} is video" for n in self._of_type(*names.VIDEOS)}
        image_choice = _choice("image", image, ranks, _IMAGE_MERITS, self._problems | video)
        frame_id = self._frame_id(image)
        chosen_tf, tf_rejected = choose_tf(every_tf, image, tf)
        self._parents = self._all_parents(chosen_tf)
        camera_info, info_choice = self._calibration(image, camera_info)
        notes: list[str] = []
        depth_choice = Choice("depth", depth, why="as asked")
        if not depth:
            depth, depth_choice, notes = self._depth(image, camera_info)
        depth_info = self._depth_calibration(depth, camera_info) if depth else ""
        if not camera_info:
            notes.insert(0, "no camera_info: nothing can be placed in 3D")
        fixed_frame = _root_above(frame_id, self._parents)
        if not fixed_frame:
            notes.append(f"no transform leads to {frame_id!r}: results stay in the camera's frame")
        choices = (
            image_choice if not named else Choice("image", image, why="as asked"),
            info_choice,
            depth_choice,
            Choice("tf", ", ".join(chosen_tf), tf_rejected),
        )
        return CameraTopics(
            image=image,
            camera_info=camera_info,
            depth=depth,
            depth_camera_info=depth_info,
            tf=tuple(chosen_tf),
            frame_id=frame_id,
            fixed_frame=fixed_frame,
            notes=(*(text for one in choices if (text := one.sentence())), *notes),
            choices=choices,
        )

    def _of_type(self, *types: str) -> list[str]:
        return sorted(name for name, kind in self._types.items() if kind in types)

    def _message(self, topic: str) -> Any:
        if topic not in self._known:
            kind = self._types.get(topic, "")
            usable = names.is_good_info if kind == names.CAMERA_INFO else names.is_good_image
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
        return [name for name in self._images if not names.may_be_depth(self._message(name))]

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

    def _calibration(self, image: str, named: str) -> tuple[str, Choice]:
        if named:
            return named, Choice("camera_info", named, why="as asked")
        taken = self._nearest_info(image)
        frame_id = self._frame_id(image)
        why = ""
        if taken:
            own = self._frame_id(taken)
            why = f"of {own!r}" if own == frame_id else f"of {own!r}, the image is of {frame_id!r}"
        return taken, Choice("camera_info", taken, why=why)

    def _depths_for(
        self, image: str, camera_info: str
    ) -> tuple[dict[str, bool], dict[str, str], dict[str, str]]:
        """Depth that an image can use, and whether it is registered; what is no depth; what lacks.

        The latter two with reasons.
        """
        usable, no_depth, lacks = {}, {}, {}
        frame_id, size = self._frame_id(image), self._size(image)
        root = _root_above(frame_id, self._parents) or frame_id
        for name in self._beside(self._images, image):
            message = self._message(name)
            if not names.may_be_depth(message):
                continue
            by_name, doubt = names.depth_by_name(name), names.doubt_of_depth(message)
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
            elif (_root_above(own, self._parents) or own) != root:
                lacks[name] = f"no transform leads from {own!r} to it"
            else:
                usable[name] = False
        return usable, no_depth, lacks

    def _depth(self, image: str, camera_info: str) -> tuple[str, Choice, list[str]]:
        """The depth topic of an image, or none, and what to tell of it."""
        usable, no_depth, lacks = self._depths_for(image, camera_info)
        frame_id = self._frame_id(image)
        doubts = {name: names.doubt_of_depth(self._message(name)) for name in usable}
        ranks: dict[str, Rank] = {
            name: (
                bool(names.depth_by_name(name)),
                not doubts[name],
                registered,
                names.shared_parts(name, image),
                self._types[name] == names.IMAGE,
                self._counts[name],
            )
            for name, registered in usable.items()
        }
        depth = max(sorted(ranks), key=ranks.__getitem__, default="")
        choice = _choice("depth", depth, ranks, _DEPTH_MERITS, {**doubts, **no_depth})
        notes = []
        own = self._frame_id(depth)
        if depth and own != frame_id:
            notes.append(f"{depth} is reprojected from {own!r} to {frame_id!r}")
        if depth and doubts[depth]:
            notes.append(f"{depth} is taken for depth by its name, but {doubts[depth]}")
        if lacks and not depth:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in lacks.items())
            notes.append(
                f"left out depth that is not in the image's frame {frame_id!r}, so it is not "
                f"registered to the colour camera, and cannot be reprojected: {reasons}"
            )
        return depth, choice, notes

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


def _choice(
    role: str,
    taken: str,
    ranks: Mapping[str, Rank],
    merits: Sequence[str],
    reasons: Mapping[str, str],
) -> Choice:
    """A choice with the first merit that each other one lacks, or what is wrong with it."""
    rejected = {name: reason for name, reason in reasons.items() if reason and name != taken}
    best = ranks.get(taken, ())
    for name, rank in ranks.items():
        if name == taken or rejected.get(name):
            continue
        pairs = zip(best, rank, merits, strict=True)
        lacks = next((merit for mine, its, merit in pairs if its < mine), "")
        rejected[name] = lacks or "it comes later by its name"
    won = [merit for merit, good in zip(merits, best, strict=False) if good is False]
    return Choice(role, taken, dict(sorted(rejected.items())), "; ".join(filter(None, won)))


def _root_above(frame_id: str, parents: Mapping[str, str]) -> str:
    """The topmost frame above one; empty where there is none."""
    frame, seen = frame_id, {frame_id}
    while frame in parents and parents[frame] not in seen:
        frame = parents[frame]
        seen.add(frame)
    return frame if frame != frame_id else ""
