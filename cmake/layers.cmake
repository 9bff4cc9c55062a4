# The folders' arrows, enforced. Every folder is one static library, and its headers are reachable
# only for targets that link it: the repository root is no include directory, so an upward or
# sideways include is "no such file".

set(CRISP_ARROWS_base "")
set(CRISP_ARROWS_metrics "base")
set(CRISP_ARROWS_storage "base;metrics")
set(CRISP_ARROWS_network "base;metrics")
set(CRISP_ARROWS_runtime "base;metrics")
set(CRISP_ARROWS_streaming "base;metrics")
set(CRISP_ARROWS_cri "base;metrics;storage;network;runtime;streaming")

# crisp_layer(NAME [LAYERS layer...] [PUBLIC lib...] [PRIVATE lib...] SOURCES file...)
# Declares the static library of this folder. LAYERS must be allowed by the table above.
function(crisp_layer name)
  cmake_parse_arguments(ARG "" "" "LAYERS;PUBLIC;PRIVATE;SOURCES" ${ARGN})
  foreach(layer IN LISTS ARG_LAYERS)
    if(NOT layer IN_LIST CRISP_ARROWS_${name})
      message(FATAL_ERROR "${name} may not use ${layer}: see CRISP_ARROWS_${name} in cmake/layers.cmake")
    endif()
  endforeach()
  set(view ${CMAKE_BINARY_DIR}/inc/${name})
  file(MAKE_DIRECTORY ${view})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${view}/${name} SYMBOLIC)
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${view})
  target_link_libraries(${name} PUBLIC ${ARG_LAYERS} ${ARG_PUBLIC} PRIVATE crisp_flags ${ARG_PRIVATE})
endfunction()

# What the sanitizer presets build and run: the tests of the layers under cri. Debian's gRPC and
# protobuf are not instrumented, and what links them takes most of a build's time.
add_custom_target(sanitizer_tests)
# Every libFuzzer target.
add_custom_target(fuzzers)

# crisp_test(NAME [LABEL unit|root] [LIBS lib...] SOURCES file...)
# A GoogleTest binary. `unit` runs anywhere; `root` needs root and makes its own namespaces. A test
# that does not use cri gets the label `sanitized` too, and is part of sanitizer_tests.
function(crisp_test name)
  if(NOT CRISP_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "LABEL" "LIBS;SOURCES" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} crisp_flags GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT "cri" IN_LIST ARG_LIBS)
    list(APPEND ARG_LABEL sanitized)
    add_dependencies(sanitizer_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT 300)
endfunction()

# crisp_fuzzer(NAME [LIBS lib...] SOURCES file...): a libFuzzer target, built by the fuzz preset only.
function(crisp_fuzzer name)
  if(NOT CRISP_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "LIBS;SOURCES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  add_dependencies(fuzzers ${name})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} crisp_flags)
endfunction()
