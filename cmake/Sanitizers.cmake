# guard_sanitizers: what GUARD_SANITIZE asks for; any report ends the process.

add_library(guard_sanitizers INTERFACE)
if(GUARD_SANITIZE)
  target_compile_options(guard_sanitizers INTERFACE
    -fsanitize=${GUARD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(guard_sanitizers INTERFACE -fsanitize=${GUARD_SANITIZE})
endif()
# Without this libFuzzer sees the edges of the target's own file only.
if(GUARD_FUZZ)
  target_compile_options(guard_sanitizers INTERFACE -fsanitize=fuzzer-no-link)
endif()
