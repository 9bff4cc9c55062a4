# Links the libraries below from their archives. Loading a hundred shared objects takes ten milliseconds of
# every start of crispd, and the pages that their relocation touches are several megabytes that no other
# process shares. What reads what comes from the network (OpenSSL, curl and the decompressors) stays shared,
# so that its fixes come with the system's updates; so do glibc, libstdc++, what is under the LGPL, and what
# Debian has no archives of. crisp-unpacker is an exception (see crisp_link_archives), and libarchive, whose
# tars are all that is used and which has libxml2 and ICU loaded for other formats: the unpacker has it, so a
# fix of it is a new build anyway. A library whose archive is not installed stays shared, too.

# crisp_archive_of(OUT FILE): the archive beside the shared object FILE, or FILE.
function(crisp_archive_of out file)
  string(REGEX REPLACE "\\.so[.0-9]*$" ".a" archive "${file}")
  if(EXISTS "${archive}")
    set(${out} "${archive}" PARENT_SCOPE)
  else()
    set(${out} "${file}" PARENT_SCOPE)
  endif()
endfunction()

# crisp_use_archives(TARGET...): points imported targets at the archives of what they stand for, themselves
# or (pkg-config's) in their link interface.
function(crisp_use_archives)
  foreach(target IN LISTS ARGN)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "INTERFACE_LIBRARY")
      set(replaced "")
      get_target_property(libraries ${target} INTERFACE_LINK_LIBRARIES)
      foreach(library IN LISTS libraries)
        crisp_archive_of(library "${library}")
        list(APPEND replaced "${library}")
      endforeach()
      set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES "${replaced}")
      continue()
    endif()
    get_target_property(file ${target} LOCATION)
    crisp_archive_of(archive "${file}")
    set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${archive}")
    get_target_property(configurations ${target} IMPORTED_CONFIGURATIONS)
    foreach(configuration IN LISTS configurations)
      set_target_properties(${target} PROPERTIES IMPORTED_LOCATION_${configuration} "${archive}")
    endforeach()
  endforeach()
endfunction()

# crisp_link_archives(TARGET LIBRARY...): links TARGET, which is started and forked often, with the archives of
# imported targets that are shared objects to everybody else.
function(crisp_link_archives target)
  foreach(library IN LISTS ARGN)
    get_target_property(type ${library} TYPE)
    if(type STREQUAL "INTERFACE_LIBRARY")
      get_target_property(files ${library} INTERFACE_LINK_LIBRARIES)
    else()
      get_target_property(files ${library} LOCATION)
    endif()
    foreach(file IN LISTS files)
      crisp_archive_of(archive "${file}")
      target_link_libraries(${target} PRIVATE "${archive}")
    endforeach()
    target_include_directories(${target} PRIVATE $<TARGET_PROPERTY:${library},INTERFACE_INCLUDE_DIRECTORIES>)
  endforeach()
endfunction()

get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
foreach(target IN LISTS imported)
  get_target_property(type ${target} TYPE)
  if(target MATCHES "^absl::" AND type STREQUAL "SHARED_LIBRARY")
    crisp_use_archives(${target})
  endif()
endforeach()
crisp_use_archives(protobuf::libprotobuf yaml-cpp SQLite::SQLite3 PkgConfig::SELINUX PkgConfig::GRPCPP
  LibArchive::LibArchive)

# What the archives need behind them. pkg-config names a library once for each that needs it: the last is
# the place that a linker which reads its archives in order wants it in.
function(crisp_link_behind target)
  list(REVERSE ARGN)
  list(REMOVE_DUPLICATES ARGN)
  list(REVERSE ARGN)
  foreach(name IN LISTS ARGN)
    string(REGEX REPLACE "^absl_" "absl::" library "${name}")
    if(NOT TARGET "${library}")
      find_library(CRISP_LIB_${name} NAMES lib${name}.a ${name} REQUIRED)
      mark_as_advanced(CRISP_LIB_${name})
      set(library "${CRISP_LIB_${name}}")
    endif()
    target_link_libraries(${target} INTERFACE "${library}")
  endforeach()
endfunction()

# Debian's grpc_unsecure.pc names nothing of that, grpc.pc does.
pkg_check_modules(GRPC REQUIRED grpc)
set(libraries ${GRPC_STATIC_LIBRARIES})
list(REMOVE_ITEM libraries grpc ssl crypto z dl rt atomic)
crisp_link_behind(PkgConfig::GRPCPP ${libraries})
target_link_libraries(PkgConfig::GRPCPP INTERFACE ZLIB::ZLIB)
crisp_link_behind(PkgConfig::SELINUX pcre2-8)
target_link_libraries(SQLite::SQLite3 INTERFACE m)
target_link_libraries(protobuf::libprotobuf INTERFACE ZLIB::ZLIB)
