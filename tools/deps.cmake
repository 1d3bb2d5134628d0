# The third-party libraries from ISOLOSS_DEPS, a folder that tools/bundle_deps.sh filled, in place of the system's:
# the same names, so that nobody else needs to know. fmt comes as headers alone.
set(isoloss_include ${ISOLOSS_DEPS}/include)
set(isoloss_lib ${ISOLOSS_DEPS}/lib)
foreach(needed ${isoloss_include}/fmt/format.h ${isoloss_lib}/libz.a)
  if(NOT EXISTS ${needed})
    message(FATAL_ERROR "[ISOLOSS_DEPS] expected a folder made by tools/bundle_deps.sh, got ${ISOLOSS_DEPS} without ${needed}")
  endif()
endforeach()
message(STATUS "Third-party libraries from ${ISOLOSS_DEPS}")
include_directories(SYSTEM ${isoloss_include})

add_library(fmt::fmt INTERFACE IMPORTED)
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY)
add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
add_library(CLI11::CLI11 INTERFACE IMPORTED)
add_library(ZLIB::ZLIB STATIC IMPORTED)
set_target_properties(ZLIB::ZLIB PROPERTIES IMPORTED_LOCATION ${isoloss_lib}/libz.a)
add_library(LibLZMA::LibLZMA STATIC IMPORTED)
set_target_properties(LibLZMA::LibLZMA PROPERTIES IMPORTED_LOCATION ${isoloss_lib}/liblzma.a)
set(ZSTD_LIBRARY ${isoloss_lib}/libzstd.a CACHE FILEPATH "" FORCE)
set(PCRE2_LIBRARY ${isoloss_lib}/libpcre2-8.a CACHE FILEPATH "" FORCE)

# find_package looks here first, and is content.
foreach(package fmt nlohmann_json doctest CLI11 ZLIB LibLZMA)
  file(WRITE ${CMAKE_FIND_PACKAGE_REDIRECTS_DIR}/${package}Config.cmake "# Made by tools/deps.cmake.\n")
  file(WRITE ${CMAKE_FIND_PACKAGE_REDIRECTS_DIR}/${package}ConfigVersion.cmake "set(PACKAGE_VERSION_COMPATIBLE TRUE)\n")
endforeach()
