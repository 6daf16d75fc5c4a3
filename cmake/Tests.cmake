# One function per kind of test; every test has a label and a time limit.

pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka>=1.1.5)

# guard_unit_test(MODULE LIBS ...): tests/unit/test_MODULE.c
function(guard_unit_test module)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBS")
  add_executable(test_${module} test_${module}.c)
  target_link_libraries(test_${module} PRIVATE ${arg_LIBS} PkgConfig::CMOCKA guard_build)
  add_test(NAME unit/${module} COMMAND test_${module})
  set_tests_properties(unit/${module} PROPERTIES LABELS unit TIMEOUT 240
    SKIP_RETURN_CODE 77 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()

# guard_fuzz_target(NAME LIBS ...): tests/fuzz/fuzz_NAME.c with corpus/NAME/.
# With GUARD_FUZZ it is a libFuzzer binary; otherwise it replays its corpus as a test.
function(guard_fuzz_target name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBS")
  if(GUARD_FUZZ)
    add_executable(fuzz_${name} fuzz_${name}.c)
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set(run -runs=0)
  else()
    add_executable(fuzz_${name} fuzz_${name}.c replay.c)
    set(run)
  endif()
  target_link_libraries(fuzz_${name} PRIVATE ${arg_LIBS} guard_build)
  add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${run} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 240
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()

# guard_integration_test(NAME [APART TEST...] [LIBS ...]): tests/integration/test_NAME.c; real
# processes. Tests that may have to be skipped here are run, and counted, APART.
function(guard_integration_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "APART;LIBS")
  add_executable(integration_${name} test_${name}.c)
  target_link_libraries(integration_${name} PRIVATE ${arg_LIBS} integration_harness guard_build)
  add_dependencies(integration_${name} pipeline-guard pipeline-guard-simulator)
  set(tests integration/${name})
  set(without ${arg_APART})
  list(TRANSFORM without PREPEND "-")
  add_test(NAME integration/${name} COMMAND integration_${name} ${without})
  foreach(test IN LISTS arg_APART)
    list(APPEND tests integration/${name}/${test})
    add_test(NAME integration/${name}/${test} COMMAND integration_${name} ${test})
  endforeach()
  set_tests_properties(${tests} PROPERTIES LABELS integration TIMEOUT 600
    SKIP_RETURN_CODE 77 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    ENVIRONMENT "GUARD_BIN=$<TARGET_FILE:pipeline-guard>;GUARD_SIMULATOR=$<TARGET_FILE:pipeline-guard-simulator>")
endfunction()
