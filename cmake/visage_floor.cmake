# visage_floor(NAME DEPENDS ...): the static library visage_NAME of every source below NAME/.
# *.cu files are compiled only in a CUDA build; *_host.cpp stand-ins for vendor libraries only by tests/simt.
function(visage_floor name)
  cmake_parse_arguments(FLOOR "" "" "DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/${name}/cuda/|_cudnn\\.cpp$|_cublas\\.cpp$|_nccl\\.cpp$")
  if(VISAGE_CUDA_FOUND)
    file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${name}/*.cu ${name}/cuda/*.cpp)
    list(APPEND sources ${cuda_sources})
  endif()
  add_library(visage_${name} STATIC ${sources})
  add_library(visage::${name} ALIAS visage_${name})
  target_include_directories(visage_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/visage>)
  target_compile_features(visage_${name} PUBLIC cxx_std_20)
  target_link_libraries(visage_${name} PUBLIC ${FLOOR_DEPENDS} PRIVATE
    $<BUILD_INTERFACE:visage_warnings> $<BUILD_INTERFACE:visage_arch>)
  if(VISAGE_CUDA_FOUND)
    target_compile_definitions(visage_${name} PRIVATE VISAGE_CUDA)
    target_link_libraries(visage_${name} PRIVATE $<BUILD_INTERFACE:visage_cuda_settings> CUDA::cudart_static)
  endif()
  set_target_properties(visage_${name} PROPERTIES EXPORT_NAME ${name})
endfunction()
