# The PyPI wheels of ROS 2 message packages export the Python include directory of the machine that built them, and CMake
# refuses imported targets with directories that do not exist. So these are dropped once every target is known. Where ROS
# is properly installed every directory exists and nothing is changed.
function(_vega3d_drop_missing_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT directories)
      continue()
    endif()
    set(existing "")
    foreach(directory IN LISTS directories)
      # Generator expressions are left alone: they have no meaning yet.
      if(directory MATCHES "^\\$<" OR EXISTS "${directory}")
        list(APPEND existing "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${existing}")
  endforeach()
endfunction()
cmake_language(DEFER CALL _vega3d_drop_missing_includes)

# The interfaces export NumPy's headers, and CMake refuses to export what lies in the source tree. There it lies when the
# virtual environment does. Whoever uses the interfaces finds NumPy by itself.
function(_vega3d_keep_source_paths_private)
  get_property(targets DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(directories)
      string(REGEX REPLACE "(^|;)(${CMAKE_CURRENT_SOURCE_DIR}/[^;>]*)" "\\1$<BUILD_INTERFACE:\\2>" directories "${directories}")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${directories}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL _vega3d_keep_source_paths_private)
