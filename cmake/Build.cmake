# guard_build: what every target of ours is compiled with.

set(CMAKE_EXPORT_COMPILE_COMMANDS ON) # for editors, and for the header test's include folders

add_library(guard_build INTERFACE)
target_compile_features(guard_build INTERFACE c_std_17 cxx_std_17)
# One file is C++ (docs/adr/0016): it may throw nothing, and a library may not throw through it.
target_compile_options(guard_build INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions> $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
target_compile_definitions(guard_build INTERFACE _GNU_SOURCE)
target_include_directories(guard_build INTERFACE
  ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(guard_build INTERFACE guard_warnings guard_hardening guard_sanitizers)

# guard_library(NAME SOURCES... [LIBS ...]): a static library of one directory.
function(guard_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC ${arg_LIBS} PRIVATE guard_build)
endfunction()
