# guard_warnings: one INTERFACE target that every target of ours links.

include(CheckCCompilerFlag)

add_library(guard_warnings INTERFACE)
set(_want
  -Wall -Wextra
  -Wshadow -Wundef -Wvla -Wformat=2
  -Wpointer-arith -Wcast-qual -Wwrite-strings -Wconversion
  -Wimplicit-fallthrough -Wdouble-promotion -Wnull-dereference
  -Wswitch-enum -Wunused-macros
  -Wduplicated-cond -Wduplicated-branches -Wlogical-op   # gcc
  -Wcomma -Wunreachable-code-aggressive -Wassign-enum    # clang
  -Wno-sign-conversion
  # An object that may be freed in its own callback is told so by a flag on the caller's stack.
  -Wno-dangling-pointer
  -Werror=return-type)
set(_want_c
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
  -Werror=int-conversion)

foreach(_flag IN LISTS _want _want_c)
  string(MAKE_C_IDENTIFIER "HAVE${_flag}" _var)
  check_c_compiler_flag("${_flag}" ${_var})
  if(${_var})
    if(_flag IN_LIST _want_c)
      set(_flag $<$<COMPILE_LANGUAGE:C>:${_flag}>)
    endif()
    target_compile_options(guard_warnings INTERFACE ${_flag})
  endif()
endforeach()
