# cmake -DROOT=dir -DOUT=file.c -DFILES=a/x,a/y -DNAME=nm_template -DHEADER=cli/templates.h -P embed.cmake:
# the files, from ROOT on, as NAME_files[] and NAME_count; a file's template is the directory that it is in.
string(REPLACE "," ";" files "${FILES}")
set(arrays "")
set(rows "")
set(count 0)
foreach(file IN LISTS files)
  file(READ "${ROOT}/${file}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  get_filename_component(template "${file}" DIRECTORY)
  get_filename_component(template "${template}" NAME)
  get_filename_component(name "${file}" NAME)
  string(APPEND arrays "static const unsigned char file_${count}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${template}\", \"${name}\", file_${count}, sizeof file_${count}},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE "${OUT}" "/* made by embed.cmake */\n#include \"${HEADER}\"\n\n${arrays}
const struct nm_template_file ${NAME}_files[] = {\n${rows}};\nconst size_t ${NAME}_count = ${count};\n")
