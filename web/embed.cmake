# Writes page_files.c: cmake -DFILES=a;b -DOUT=page_files.c -P embed.cmake
set(arrays "")
set(rows "")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  string(MAKE_C_IDENTIFIER ${name} id)
  file(READ ${file} hex HEX)
  string(LENGTH "${hex}" length)
  math(EXPR length "${length} / 2")
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND arrays "static const unsigned char ${id}[] = {\n${hex}\n};\n\n")
  string(APPEND rows "\t{ \"${name}\", ${id}, ${length} },\n")
endforeach()
file(WRITE ${OUT} "/* Made by web/embed.cmake. */
#include \"web/page.h\"

${arrays}const struct page_file page_files[] = {
${rows}\t{ NULL, NULL, 0 },
};
")
