# Every library comes from the distribution, found by pkg-config where it has a file.

find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET libevent>=2.1)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.85)
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares>=1.18)
pkg_check_modules(JSONC REQUIRED IMPORTED_TARGET json-c>=0.16)
pkg_check_modules(SIMDJSON REQUIRED IMPORTED_TARGET simdjson>=3.0)
pkg_check_modules(HIREDIS REQUIRED IMPORTED_TARGET hiredis>=0.14)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.40)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(SSL REQUIRED IMPORTED_TARGET libssl>=3.0)
pkg_check_modules(CYAML REQUIRED IMPORTED_TARGET libcyaml>=1.3)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(ARCHIVE REQUIRED IMPORTED_TARGET libarchive>=3.6)
pkg_check_modules(LIBGIT2 REQUIRED IMPORTED_TARGET libgit2>=1.5)
include(CheckCSourceCompiles)
set(CMAKE_REQUIRED_LIBRARIES PkgConfig::LIBGIT2)
check_c_source_compiles(
  "#include <git2.h>\nint main(void) { return GIT_OPT_SET_PACK_MAX_OBJECT_SIZE; }"
  GUARD_LIBGIT2_CAPS_OBJECTS)
unset(CMAKE_REQUIRED_LIBRARIES)
if(NOT GUARD_LIBGIT2_CAPS_OBJECTS)
  message(FATAL_ERROR "libgit2 is without the security update that lets the size of an object be "
    "limited; on Debian 12 have bookworm-security among the sources of apt, then: apt-get update "
    "&& apt-get install --only-upgrade libgit2-dev libgit2-1.5")
endif()
# Without it there is no sandbox, and strategies that run commands are refused.
pkg_check_modules(SECCOMP IMPORTED_TARGET libseccomp>=2.5)
if(GUARD_HYPERSCAN)
  pkg_check_modules(HYPERSCAN IMPORTED_TARGET libhs>=5.4)
endif()

# The HTTP parser package: llhttp where the distribution has it, else its
# predecessor http_parser (docs/adr/0003). Neither has a pkg-config file everywhere.
add_library(guard_http_parser INTERFACE)
find_path(LLHTTP_INCLUDE_DIR llhttp.h)
find_library(LLHTTP_LIBRARY llhttp)
find_path(HTTP_PARSER_INCLUDE_DIR http_parser.h)
find_library(HTTP_PARSER_LIBRARY http_parser)
if(LLHTTP_INCLUDE_DIR AND LLHTTP_LIBRARY)
  target_include_directories(guard_http_parser INTERFACE ${LLHTTP_INCLUDE_DIR})
  target_link_libraries(guard_http_parser INTERFACE ${LLHTTP_LIBRARY})
  target_compile_definitions(guard_http_parser INTERFACE GUARD_HAVE_LLHTTP=1)
elseif(HTTP_PARSER_INCLUDE_DIR AND HTTP_PARSER_LIBRARY)
  target_include_directories(guard_http_parser INTERFACE ${HTTP_PARSER_INCLUDE_DIR})
  target_link_libraries(guard_http_parser INTERFACE ${HTTP_PARSER_LIBRARY})
else()
  message(FATAL_ERROR "an HTTP parser is needed: install libllhttp-dev or libhttp-parser-dev")
endif()
