# Builds cmake/tf2_msgs where ROS's own tf2_msgs is not installed, and installs it with this package.
find_package(tf2_msgs QUIET)
# ROS's own has TF2Error. One without it is what an earlier build of this file left there: it is built again, so that it
# stays a part of what this package installs.
if(tf2_msgs_FOUND AND EXISTS "${tf2_msgs_DIR}/../msg/TF2Error.msg")
  return()
endif()

include(ExternalProject)
set(tf2_msgs_stage "${CMAKE_CURRENT_BINARY_DIR}/tf2_msgs/stage")
ExternalProject_Add(tf2_msgs_interfaces
  SOURCE_DIR "${CMAKE_CURRENT_SOURCE_DIR}/cmake/tf2_msgs"
  BINARY_DIR "${CMAKE_CURRENT_BINARY_DIR}/tf2_msgs/build"
  CMAKE_ARGS
    -DBUILD_TESTING=OFF
    -DCMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE}
    -DCMAKE_INSTALL_PREFIX=${tf2_msgs_stage}
    -DPython3_EXECUTABLE=${Python3_EXECUTABLE}
)
install(DIRECTORY "${tf2_msgs_stage}/" DESTINATION "." USE_SOURCE_PERMISSIONS)
