# Sources of one target compiled several at a time, so that what they include of ours is compiled once as well. For the
# presets that nobody works in: one changed source rebuilds those beside it, too.
option(CRISP_UNITY "Compile several sources at a time" OFF)
if(CRISP_UNITY)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # A coroutine of a class in an anonymous namespace: GCC does not know that the included file is of one source.
    target_compile_options(crisp_flags INTERFACE -Wno-subobject-linkage)
  endif()
endif()

# crisp_unity(OUT NAME source...): what to compile for target NAME instead of its sources.
function(crisp_unity out name)
  list(LENGTH ARGN length)
  if(NOT CRISP_UNITY OR length LESS 2)
    set(${out} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE sources)
  execute_process(COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/unity.py --count 6 ${sources}
    OUTPUT_VARIABLE count COMMAND_ERROR_IS_FATAL ANY)
  string(STRIP "${count}" count)
  set(outputs "")
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/unity)
  foreach(number RANGE 1 ${count})
    list(APPEND outputs ${CMAKE_BINARY_DIR}/unity/${name}_${number}.cc)
  endforeach()
  add_custom_command(OUTPUT ${outputs}
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/unity.py ${outputs} -- ${sources}
    DEPENDS ${PROJECT_SOURCE_DIR}/cmake/unity.py ${sources}
    COMMENT "" VERBATIM)
  set(${out} ${outputs} PARENT_SCOPE)
endfunction()
