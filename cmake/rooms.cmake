# Rooms. Every folder of C++ is one room: a static library (or, of headers only, an interface) whose headers are
# reachable only for targets that link it. The repository's root is no include directory, so an include of
# what a room does not link is "no such file".

# The arrows: what each room may include. A room may name only rooms above it, so there are no circles.
# hack/check-layers reads this table, too: it knows what an include reaches by way of a third room.
set(CRISP_ARROWS [=[
base:
metrics: base

storage/values: base
storage/oci: base
storage/registry: base storage/values storage/oci
storage/layer: base
storage/erofs: base storage/oci storage/layer
storage/forms: base storage/layer storage/erofs
storage/unpack: base storage/oci storage/layer storage/forms
storage/store: base storage/values storage/oci storage/layer storage/forms
storage/image: base storage/values storage/oci storage/registry storage/layer storage/forms storage/unpack storage/store

network/values: base
network/link: base network/values
network/bridge: base network/values network/link
network/cni: base network/values network/link
network/pod: base network/values network/link network/bridge network/cni

runtime/wire:
runtime/oci: base
runtime/plan: base runtime/wire runtime/oci
runtime/cgroup: base runtime/oci
runtime/seccomp: base runtime/oci
runtime/lsm: base
runtime/paths: base runtime/lsm
runtime/devices: base runtime/oci runtime/paths
runtime/handler: base runtime/oci runtime/cgroup
runtime/client: base runtime/wire runtime/plan runtime/handler
runtime/crisp: base runtime/oci runtime/plan runtime/cgroup runtime/seccomp runtime/handler runtime/client
runtime/shim: runtime/wire

streaming/wire: base
streaming/connection: base streaming/wire
streaming/spdy: base streaming/wire streaming/connection
streaming/websocket: base streaming/wire streaming/connection
streaming/session: base metrics streaming/wire streaming/connection
streaming/server: base streaming/wire streaming/connection streaming/spdy streaming/websocket

cri/api: base
cri/config: base storage/values network/values runtime/devices streaming/server
cri/node: base runtime/oci runtime/cgroup runtime/lsm runtime/paths
cri/spec: base cri/api cri/node storage/values runtime/oci runtime/cgroup runtime/seccomp runtime/lsm
cri/stats: base cri/api storage/values network/values runtime/cgroup
cri/state: base metrics cri/api cri/spec cri/stats runtime/oci runtime/lsm runtime/handler
cri/containers: base metrics cri/api cri/node cri/spec cri/state storage/image network/pod runtime/oci runtime/cgroup runtime/lsm runtime/paths runtime/devices runtime/handler
cri/pods: base cri/api cri/spec cri/stats cri/state cri/containers storage/image network/pod runtime/oci runtime/cgroup runtime/handler streaming/session streaming/server
cri/service: base metrics cri/api cri/config cri/node cri/state storage/image network/pod
cri/daemon: base metrics cri/config cri/node cri/state cri/pods cri/service runtime/crisp streaming/session streaming/server

cli/format: base
cli/client: base cri/api
cli/names: base cri/api cli/client
cli/doctor: base cri/config cri/node network/values network/link network/bridge network/cni runtime/oci runtime/cgroup runtime/lsm cli/client
cli/explain: base network/link runtime/oci runtime/cgroup cli/format cli/client cli/names
cli/commands: base cri/api cri/node cli/format cli/client cli/names cli/doctor cli/explain
cli: cli/commands

bench/samples:
bench/report:
bench/client: base bench/samples cri/api
bench/floor: base bench/samples runtime/oci runtime/cgroup runtime/seccomp
bench: bench/samples
]=])

set(CRISP_ROOMS "")
string(REGEX REPLACE "\n+" ";" lines "${CRISP_ARROWS}")
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^([a-z_/]+):(.*)$")
    continue()
  endif()
  set(room ${CMAKE_MATCH_1})
  separate_arguments(CRISP_ARROWS_${room} UNIX_COMMAND "${CMAKE_MATCH_2}")
  foreach(other IN LISTS CRISP_ARROWS_${room})
    if(NOT other IN_LIST CRISP_ROOMS)
      message(FATAL_ERROR "the arrow ${room} -> ${other} leads to no room above it: see cmake/rooms.cmake")
    endif()
  endforeach()
  list(APPEND CRISP_ROOMS ${room})
endforeach()

file(GLOB_RECURSE CRISP_HEADERS RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS
  base/*.h metrics/*.h storage/*.h network/*.h runtime/*.h streaming/*.h cri/*.h cli/*.h bench/*.h)

# What `storage/oci` and `storage/oci/testing` are called as targets.
function(crisp_target_of out room)
  string(REPLACE "/" "_" target ${room})
  set(${out} ${target} PARENT_SCOPE)
endfunction()

# crisp_targets(OUT item...): rooms become their targets, libraries stay what they are.
function(crisp_targets out)
  set(targets "")
  foreach(item IN LISTS ARGN)
    if(item IN_LIST CRISP_ROOMS OR item MATCHES "/testing$")
      crisp_target_of(item ${item})
    elseif(item MATCHES "/")
      message(FATAL_ERROR "there is no room ${item}: see cmake/rooms.cmake")
    endif()
    list(APPEND targets ${item})
  endforeach()
  set(${out} "${targets}" PARENT_SCOPE)
endfunction()

# crisp_check_arrows(ROOM item...): those of the items that are rooms must be allowed by the table.
function(crisp_check_arrows room)
  foreach(item IN LISTS ARGN)
    if(item MATCHES "/testing$")
      message(FATAL_ERROR "${room} is no test and may not use ${item}")
    elseif(item IN_LIST CRISP_ROOMS AND NOT item IN_LIST CRISP_ARROWS_${room})
      message(FATAL_ERROR "${room} may not use ${item}: see CRISP_ARROWS in cmake/rooms.cmake")
    endif()
  endforeach()
endfunction()

# crisp_publish(TARGET SCOPE ROOM): makes a directory with the room's headers, and no others', and lets the
# target include them.
function(crisp_publish target scope room)
  crisp_target_of(name ${room})
  set(view ${CMAKE_BINARY_DIR}/inc/${name})
  file(REMOVE_RECURSE ${view})
  file(MAKE_DIRECTORY ${view}/${room})
  set(headers ${CRISP_HEADERS})
  list(FILTER headers INCLUDE REGEX "^${room}/[^/]+$")
  foreach(header IN LISTS headers)
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${header} ${view}/${header} SYMBOLIC)
  endforeach()
  target_include_directories(${target} ${scope} ${view})
endfunction()

# crisp_see(TARGET room...): the target may include the rooms' headers, and links nothing of them. For the
# programs that compile a few of other rooms' sources by themselves.
function(crisp_see target)
  foreach(room IN LISTS ARGN)
    crisp_target_of(name ${room})
    target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/inc/${name})
  endforeach()
endfunction()

# Each header compiles alone, with nothing but what its room publishes.
add_custom_target(verify_headers)

# crisp_verify_headers(TARGET ROOM): TARGET publishes ROOM.
function(crisp_verify_headers target room)
  set(headers ${CRISP_HEADERS})
  list(FILTER headers INCLUDE REGEX "^${room}/[^/]+$")
  if(NOT headers)
    return()
  endif()
  set(sources "")
  foreach(header IN LISTS headers)
    set(source ${CMAKE_BINARY_DIR}/headers/${header}.cc)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n")
    list(APPEND sources ${source})
  endforeach()
  crisp_target_of(name ${room})
  add_library(${name}_headers OBJECT EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(${name}_headers PRIVATE ${target} crisp_flags)
  target_compile_options(${name}_headers PRIVATE -O0 -g0)
  add_dependencies(verify_headers ${name}_headers)
endfunction()

# crisp_room(ROOM [PUBLIC item...] [PRIVATE item...] [SOURCES file...])
# Declares the room of this folder. An item is a room or a library: PUBLIC what the room's headers include,
# PRIVATE what only its sources do.
function(crisp_room room)
  cmake_parse_arguments(ARG "" "" "PUBLIC;PRIVATE;SOURCES" ${ARGN})
  if(NOT room IN_LIST CRISP_ROOMS)
    message(FATAL_ERROR "${room} has no line in CRISP_ARROWS of cmake/rooms.cmake")
  endif()
  crisp_check_arrows(${room} ${ARG_PUBLIC} ${ARG_PRIVATE})
  crisp_target_of(target ${room})
  crisp_targets(public ${ARG_PUBLIC})
  crisp_targets(private ${ARG_PRIVATE})
  if(ARG_SOURCES)
    crisp_unity(sources ${target} ${ARG_SOURCES})
    add_library(${target} STATIC ${sources})
    target_link_libraries(${target} PUBLIC ${public} PRIVATE crisp_flags ${private})
    crisp_publish(${target} PUBLIC ${room})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${public})
    crisp_publish(${target} INTERFACE ${room})
  endif()
  crisp_verify_headers(${target} ${room})
endfunction()

# crisp_testing(ROOM [LIBS item...] [SOURCES file...]): the fixtures and fakes of the room's folder testing/, for tests
# and fuzzers: they link ROOM/testing.
function(crisp_testing room)
  cmake_parse_arguments(ARG "" "" "LIBS;SOURCES" ${ARGN})
  crisp_target_of(target ${room}/testing)
  crisp_targets(libraries ${ARG_LIBS})
  if(NOT ARG_SOURCES)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${libraries})
    crisp_publish(${target} INTERFACE ${room}/testing)
  elseif(CRISP_TESTS)
    add_library(${target} STATIC ${ARG_SOURCES})
    target_link_libraries(${target} PUBLIC ${libraries} GTest::gmock PRIVATE crisp_flags)
    crisp_publish(${target} PUBLIC ${room}/testing)
  endif()
endfunction()

# What the sanitizer presets build and run: the tests of the rooms under cri. Debian's gRPC and
# protobuf are not instrumented, and what links them takes most of a build's time.
add_custom_target(sanitizer_tests)
# Every libFuzzer target.
add_custom_target(fuzzers)

# crisp_test(NAME [LABEL unit|root] [LIBS item...] SOURCES file...)
# A GoogleTest binary. `unit` runs anywhere; `root` needs root and makes its own namespaces. A test may link
# any room. One that links none of cri/ and cli/ gets the label `sanitized` too, and is part of sanitizer_tests.
function(crisp_test name)
  if(NOT CRISP_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "LABEL" "LIBS;SOURCES" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  crisp_unity(sources ${name} ${ARG_SOURCES})
  add_executable(${name} ${sources})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  crisp_targets(libraries ${ARG_LIBS})
  target_link_libraries(${name} PRIVATE ${libraries} crisp_flags GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  list(FILTER ARG_LIBS INCLUDE REGEX "^(cri|cli)(/|_|$)")
  if(NOT ARG_LIBS)
    list(APPEND ARG_LABEL sanitized)
    add_dependencies(sanitizer_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT 300)
endfunction()

# crisp_fuzzer(NAME [LIBS item...] SOURCES file...): a libFuzzer target, built by the fuzz preset only.
function(crisp_fuzzer name)
  if(NOT CRISP_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "LIBS;SOURCES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  add_dependencies(fuzzers ${name})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  crisp_targets(libraries ${ARG_LIBS})
  target_link_libraries(${name} PRIVATE ${libraries} crisp_flags)
endfunction()
