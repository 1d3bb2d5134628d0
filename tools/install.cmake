# What `cmake --install` puts under a prefix, and the packages that `cpack` makes of it. Programs find their files from
# where they are themselves (tools/common/shared_files.h), so the prefix can be moved and needs no variables.
set(isoloss_programs train sweep ceg tokenize evaluate generate bench)
foreach(program ${isoloss_programs})
  if(NOT TARGET ${program})
    continue()
  endif()
  install(TARGETS ${program} EXPORT isolossPrograms RUNTIME DESTINATION bin COMPONENT ${program})
endforeach()

# Presets are inside the programs; here they are to be read, and for pytorch.py.
set(isoloss_shared models/README.md models/presets models/suites tools/ceg/README.md tools/bench/README.md
  tools/bench/engine_random.py tools/bench/pytorch.py)
if(EXISTS ${CMAKE_SOURCE_DIR}/tools/ceg/example)
  list(APPEND isoloss_shared tools/ceg/example)
endif()
foreach(name ${isoloss_shared})
  get_filename_component(folder share/isoloss/${name} DIRECTORY)
  if(IS_DIRECTORY ${CMAKE_SOURCE_DIR}/${name})
    install(DIRECTORY ${CMAKE_SOURCE_DIR}/${name} DESTINATION ${folder} COMPONENT shared PATTERN "*.cmake" EXCLUDE
      PATTERN "*.sh" EXCLUDE)
  else()
    install(FILES ${CMAKE_SOURCE_DIR}/${name} DESTINATION ${folder} COMPONENT shared)
  endif()
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/${folder})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${name} ${CMAKE_BINARY_DIR}/share/isoloss/${name} SYMBOLIC)
endforeach()
install(FILES README.md LICENSE CHANGELOG.md DESTINATION share/doc/isoloss COMPONENT shared)

# find_package(isoloss) in another project: the programs as targets. The libraries are not offered, since nothing is
# promised of their headers yet.
include(CMakePackageConfigHelpers)
configure_package_config_file(tools/isolossConfig.cmake.in ${CMAKE_BINARY_DIR}/isolossConfig.cmake
  INSTALL_DESTINATION lib/cmake/isoloss)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/isolossConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/isolossConfig.cmake ${CMAKE_BINARY_DIR}/isolossConfigVersion.cmake
  DESTINATION lib/cmake/isoloss COMPONENT shared)
install(EXPORT isolossPrograms NAMESPACE isoloss:: DESTINATION lib/cmake/isoloss COMPONENT shared)

# A package of a build for one processor says so in its name; the preset `package` builds for any.
set(CPACK_PACKAGE_FILE_NAME ${PROJECT_NAME}-${PROJECT_VERSION}-${CMAKE_SYSTEM_PROCESSOR})
if(ISOLOSS_NATIVE)
  string(APPEND CPACK_PACKAGE_FILE_NAME -native)
endif()
set(CPACK_PACKAGE_VENDOR "The isoloss authors")
set(CPACK_PACKAGE_CONTACT "The isoloss authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "How much compute a training innovation is worth")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR TGZ)
find_program(ISOLOSS_SHLIBDEPS dpkg-shlibdeps)  # of the package dpkg-dev
if(ISOLOSS_SHLIBDEPS)
  list(APPEND CPACK_GENERATOR DEB)
endif()
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_CONFLICTS sweep)  # an editor of sounds, which has a /usr/bin/sweep, too
include(CPack)
