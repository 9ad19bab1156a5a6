# crier_protobuf(TARGET FILE.proto): generates C by protoc-c and adds it to the target; the header is included as
# "FILE.pb-c.h".
find_program(PROTOC_C protoc-c)

function(crier_protobuf target proto)
  if(NOT PROTOC_C)
    message(FATAL_ERROR "protoc-c is missing (Debian package protobuf-c-compiler)")
  endif()
  get_filename_component(proto ${proto} ABSOLUTE)
  get_filename_component(name ${proto} NAME_WE)
  get_filename_component(source_dir ${proto} DIRECTORY)
  set(dir ${CMAKE_CURRENT_BINARY_DIR}/${target}.proto)
  set(generated ${dir}/${name}.pb-c.c)
  file(MAKE_DIRECTORY ${dir})
  add_custom_command(OUTPUT ${generated} ${dir}/${name}.pb-c.h
    COMMAND ${PROTOC_C} --c_out=${dir} --proto_path=${source_dir} ${proto}
    DEPENDS ${proto} COMMENT "protoc-c ${name}.proto")
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS -w)
  target_sources(${target} PRIVATE ${generated})
  target_include_directories(${target} PRIVATE ${dir})
  target_link_libraries(${target} PRIVATE PkgConfig::PROTOBUF_C)
endfunction()
