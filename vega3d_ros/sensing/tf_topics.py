"""Which topics of transforms belong to a camera, where several robots publish their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

MOVING, STATIC = "tf", "tf_static"
_OTHER = "it belongs to another robot, or not to the camera; --tf takes it"


def is_static(topic: str) -> bool:
    """Whether a topic holds transforms that never change, by its name."""
    return "static" in topic.rpartition("/")[2]


def robots(tf: Iterable[str]) -> set[str]:
    """Namespaces with transforms of their own, as ``/robot1``; none where all are in one."""
    spaces = {_namespace(name) for name in tf if _kind(name)}
    return spaces - {""} if len(spaces) > 1 else set()


def robot_of(topic: str, namespaces: Collection[str]) -> str:
    """The innermost of some namespaces that holds a topic; empty where none does."""
    holding = [space for space in namespaces if topic.startswith(f"{space}/")]
    return max(holding, key=len, default="")


def choose_tf(tf: Sequence[str], image: str, named: str = "") -> tuple[list[str], dict[str, str]]:
    """The topics of transforms for a camera.

    Those of the image's namespace or the next one around it, else ``/tf`` and ``/tf_static``; the
    only ones that there are, whatever their names.

    Args:
        tf: All topics of transforms.
        image: Topic of the images.
        named: Topic or namespace to take: ``/robot1/tf`` or ``/robot1``.

    Returns:
        Their topics; and the others, each with the reason why it was not taken.
    """
    if named:
        wanted = {named, f"{named}_static", f"{named}/{MOVING}", f"{named}/{STATIC}"}
        taken = [name for name in tf if name in wanted]
    else:
        taken = [name for kind in (MOVING, STATIC) for name in _innermost(tf, image, kind)]
        if not taken and len({_namespace(name) for name in tf}) == 1:
            taken = list(tf)
    return taken, {name: _OTHER for name in tf if name not in taken}


def _innermost(tf: Sequence[str], image: str, kind: str) -> list[str]:
    around = [
        name for name in tf if _kind(name) == kind and image.startswith(f"{_namespace(name)}/")
    ]
    return [max(around, key=lambda name: len(_namespace(name)))] if around else []


def _namespace(name: str) -> str:
    return name.rpartition("/")[0]


def _kind(name: str) -> str:
    last = name.rpartition("/")[2]
    return last if last in (MOVING, STATIC) else ""
