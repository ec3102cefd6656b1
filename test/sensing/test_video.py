import cv2
import numpy as np
import pytest

from vega3d_ros.core.frames import Clip
from vega3d_ros.sensing.video import VideoError


def picture(level):
    return np.full((48, 64, 3), level, np.uint8)


def test_a_video_becomes_frames_at_even_steps_stamped_by_their_time_in_it(tmp_path):
    path = tmp_path / "walk.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for index in range(21):
        writer.write(picture(10 * index))
    writer.release()

    clip = Clip.from_video(path, 5)

    assert [frame.stamp_ns for frame in clip.frames] == [
        0,
        500_000_000,
        10**9,
        15 * 10**8,
        2 * 10**9,
    ]
    assert np.allclose([frame.image.mean() for frame in clip.frames], range(0, 201, 50), atol=4)
    assert clip.fixed_frame == ""
    assert clip.frames[0].camera is None


def test_a_folder_of_pictures_is_read_in_the_order_of_names_as_rgb(tmp_path):
    for index in range(3):
        red = picture(0)
        red[..., 2] = 50 * index  # OpenCV writes BGR
        cv2.imwrite(str(tmp_path / f"{index:03}.png"), red)
    (tmp_path / "notes.txt").write_text("not a picture")

    clip = Clip.from_images(tmp_path)

    assert [frame.image[0, 0].tolist() for frame in clip.frames] == [
        [0, 0, 0],
        [50, 0, 0],
        [100, 0, 0],
    ]


@pytest.mark.parametrize("content", [b"", b"not a video"])
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    (tmp_path / "walk.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"walk\.mp4 holds no frames"):
        Clip.from_video(tmp_path / "walk.mp4")


def test_a_folder_without_pictures_is_refused_by_name(tmp_path):
    with pytest.raises(VideoError, match="holds no pictures"):
        Clip.from_images(tmp_path)


def test_a_damaged_picture_is_refused_by_name(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(VideoError, match=r"a\.png cannot be read"):
        Clip.from_images(tmp_path)


def test_pictures_of_two_sizes_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    cv2.imwrite(str(tmp_path / "b.png"), picture(1)[:20])
    with pytest.raises(VideoError, match=r"b\.png is 64x20"):
        Clip.from_images(tmp_path)
