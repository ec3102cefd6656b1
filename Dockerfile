# The node in front of a camera, on ROS 2 Jazzy from apt. Written by the documentation; it has not been built yet.
#   docker build -t vega3d_ros --build-arg TORCH_INDEX=URL .   (URL: index of PyTorch's CPU or CUDA builds)
#   docker run --rm --net host --ipc host vega3d_ros image:=/camera/image_raw camera_info:=/camera/camera_info
FROM ros:jazzy-ros-base

ARG TORCH_INDEX=""
SHELL ["/bin/bash", "-c"]
WORKDIR /workspace

# Dependencies first, so that a change of the code does not fetch them again.
COPY package.xml constraints.txt src/vega3d_ros/
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rosdep update --rosdistro jazzy \
 && rosdep install --from-paths src --ignore-src -y \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv --system-site-packages /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
      -c src/vega3d_ros/constraints.txt \
      torch diffusers transformers safetensors pydantic scipy shapely opencv-python-headless rosbags mcap rich jinja2
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH

COPY . src/vega3d_ros
RUN source /opt/ros/jazzy/setup.bash \
 && colcon build --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE=/opt/venv/bin/python

ENTRYPOINT ["/bin/bash", "-c", "source install/setup.bash && exec ros2 launch vega3d_ros perception.launch.py \"$@\"", "--"]
