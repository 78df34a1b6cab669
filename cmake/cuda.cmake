# weightkin._cuda: what runs on NVIDIA devices besides Triton. It needs nvcc to be built, and nothing of CUDA but the
# driver to run.
set(WEIGHTKIN_CUDA AUTO CACHE STRING "Build weightkin._cuda: ON, OFF, or AUTO (if nvcc works)")
set_property(CACHE WEIGHTKIN_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT WEIGHTKIN_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "WEIGHTKIN_CUDA must be AUTO, ON or OFF, not ${WEIGHTKIN_CUDA}")
endif()
if(WEIGHTKIN_CUDA STREQUAL "OFF")
  message(STATUS "weightkin: without CUDA (WEIGHTKIN_CUDA=OFF)")
  return()
endif()

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(WEIGHTKIN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "WEIGHTKIN_CUDA=ON, but no working nvcc was found: put it on PATH, or name it in CUDACXX")
  endif()
  message(STATUS "weightkin: without CUDA (no working nvcc)")
  return()
endif()

set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
enable_language(CUDA)
python_add_library(_cuda MODULE WITH_SOABI
  csrc/cuda/assign.cu
  csrc/cuda/module.cpp
  csrc/cuda/ring.cpp)
target_link_libraries(_cuda PRIVATE pybind11::headers Threads::Threads)
target_include_directories(_cuda SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_compile_options(_cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra>)
set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)  # it knows no Blackwell; the driver compiles the last one for that
  set_target_properties(_cuda PROPERTIES CUDA_ARCHITECTURES "80-real;90-real;90-virtual")
else()
  set_target_properties(_cuda PROPERTIES CUDA_ARCHITECTURES "80-real;90-real;100-real;100-virtual")
endif()
message(STATUS "weightkin: with CUDA ${CMAKE_CUDA_COMPILER_VERSION}")
install(TARGETS _cuda DESTINATION weightkin)
