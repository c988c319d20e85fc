# cmake --install: the program, and the floors up to `visage` as a library. Another project says
#   find_package(visage REQUIRED)
#   target_link_libraries(app PRIVATE visage::visage)
# where visage::visage brings the floors below it; each is there on its own too, e.g. visage::tensor. A program
# in C says find_package(visage REQUIRED COMPONENTS c) and links visage::c, a shared library.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(floors tensor autograd ops nn models visage)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/visage)

list(TRANSFORM floors PREPEND visage_ OUTPUT_VARIABLE targets)
install(TARGETS ${targets} EXPORT visage_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS visage RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Includes are root-relative, so the headers keep their tree.
foreach(floor IN LISTS floors)
  file(GLOB_RECURSE headers RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${floor}/*.h)
  foreach(header IN LISTS headers)
    get_filename_component(folder ${header} DIRECTORY)
    install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/visage/${folder})
  endforeach()
endforeach()

# The C interface, for CMake and for pkg-config.
install(TARGETS visage_c EXPORT visage_c_targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES c_api/visage.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT visage_c_targets NAMESPACE visage:: DESTINATION ${package_folder})
file(RELATIVE_PATH prefix_of_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/visage.pc.in visage.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/visage.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(EXPORT visage_targets NAMESPACE visage:: DESTINATION ${package_folder})
configure_package_config_file(cmake/visageConfig.cmake.in ${PROJECT_BINARY_DIR}/visageConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/visageConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/visageConfig.cmake ${PROJECT_BINARY_DIR}/visageConfigVersion.cmake
        DESTINATION ${package_folder})
