include(CheckCCompilerFlag)
include(CheckPIESupported)
check_pie_supported()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_library(guard_hardening INTERFACE)
target_compile_options(guard_hardening INTERFACE
  -fstack-protector-strong -fno-strict-overflow -fno-delete-null-pointer-checks
  -fno-common -fvisibility=hidden)
foreach(_flag -fstack-clash-protection -fcf-protection=full
        -ftrivial-auto-var-init=zero)
  string(MAKE_C_IDENTIFIER "HAVE${_flag}" _var)
  check_c_compiler_flag("-Werror ${_flag}" ${_var})
  if(${_var})
    target_compile_options(guard_hardening INTERFACE ${_flag})
  endif()
endforeach()
if(NOT GUARD_SANITIZE)
  target_compile_options(guard_hardening INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
    $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
endif()
target_link_options(guard_hardening INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
