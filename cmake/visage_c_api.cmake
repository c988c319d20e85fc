include(GNUInstallDirs)
# The C interface as a shared library, libvisage: the floors up to `visage` are inside, and it exports the functions of
# c_api/visage.h alone. Whoever links it needs no C++.
add_library(visage_c SHARED c_api/tracker.cpp)
add_library(visage::c ALIAS visage_c)
target_include_directories(visage_c
  PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/c_api> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
  PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_definitions(visage_c PRIVATE VISAGE_VERSION="${PROJECT_VERSION}")
target_link_libraries(visage_c PRIVATE visage_visage visage_warnings visage_arch)
# SOVERSION changes when a program that was compiled with an older visage.h would not run.
set_target_properties(visage_c PROPERTIES OUTPUT_NAME visage EXPORT_NAME c VERSION ${PROJECT_VERSION} SOVERSION 0
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib LINK_DEPENDS ${PROJECT_SOURCE_DIR}/c_api/exports.map)
# What frames from memory do not use, such as FFmpeg, is left out.
target_link_options(visage_c PRIVATE LINKER:--version-script=${PROJECT_SOURCE_DIR}/c_api/exports.map
                    LINKER:--as-needed)
