# Installs the build, builds docs/examples/track_video against it as another project would, and tracks three frames.
# -DBUILD= -DSOURCE= -DWORK= -DINPUTS=<program> -DGENERATOR= -DCOMPILER= -DFLAGS= -DCONFIGURATION=
cmake_policy(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "exit code ${result}: ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK}/inputs/frames)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE}/docs/examples/track_video -B ${WORK}/build -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=${CONFIGURATION}
    -DCMAKE_CXX_FLAGS=${FLAGS})
run(${CMAKE_COMMAND} --build ${WORK}/build)

run(${INPUTS} ${SOURCE}/configs/tiny.toml ${WORK}/inputs)
run(${WORK}/build/track_video ${WORK}/inputs/weights.safetensors ${WORK}/inputs/frames ${SOURCE}/configs/tiny.toml)
string(REGEX MATCHALL "whole video: track [0-9]+ class [0-7] score 0\\.[0-9]+\n" rows "${output}")
list(LENGTH rows count)
if(NOT count EQUAL 8)  # as many rows as classes
  message(FATAL_ERROR "expected 8 rows, got ${count}:\n${output}")
endif()

# What the example says to a user who made a mistake.
execute_process(COMMAND ${WORK}/build/track_video ${WORK}/inputs/none.pth ${WORK}/inputs/frames
                RESULT_VARIABLE result ERROR_VARIABLE output)
if(NOT result EQUAL 1 OR NOT output MATCHES "^track_video: [^\n]*none\\.pth[^\n]*\n$")
  message(FATAL_ERROR "exit code ${result}:\n${output}")
endif()
