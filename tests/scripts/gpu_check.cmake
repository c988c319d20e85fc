# Without a GPU scripts/gpu_check says what is missing, measures nothing and exits 1. -DROOT= -DWORK=
cmake_policy(VERSION 3.25)

# An empty value: CMake's own set(ENV{}) would unset it.
set(without_gpu ${CMAKE_COMMAND} -E env CUDA_VISIBLE_DEVICES= VISAGE_RESULTS_DIR=${WORK}/results
    VISAGE_BUILD_DIR=${WORK}/build)
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND ${without_gpu} ${ROOT}/scripts/gpu_check --quick RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE err)
if(NOT code EQUAL 1)
  message(FATAL_ERROR "exit code ${code} and not 1; it says: ${out}${err}")
endif()
if(NOT err MATCHES "this machine lacks:\n  a GPU: CUDA_VISIBLE_DEVICES is empty")
  message(FATAL_ERROR "it does not say that there is no GPU: ${err}")
endif()
if(EXISTS ${WORK})
  message(FATAL_ERROR "it wrote into ${WORK}")
endif()
foreach(wrong --nonsense "--only=everything")
  execute_process(COMMAND ${without_gpu} ${ROOT}/scripts/gpu_check ${wrong} RESULT_VARIABLE code ERROR_VARIABLE err)
  if(NOT code EQUAL 2 OR NOT err MATCHES "unknown")
    message(FATAL_ERROR "${wrong}: exit code ${code}, ${err}")
  endif()
endforeach()
