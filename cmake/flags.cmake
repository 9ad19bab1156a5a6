# Warnings, hardening and sanitizers, for every target through `crier_flags`.
add_library(crier_flags INTERFACE)
target_include_directories(crier_flags INTERFACE
  ${CMAKE_SOURCE_DIR}/server ${CMAKE_SOURCE_DIR}/server/include ${CMAKE_SOURCE_DIR}/proto ${CMAKE_SOURCE_DIR}
  ${CMAKE_SOURCE_DIR}/bridges)
target_compile_definitions(crier_flags INTERFACE _GNU_SOURCE CRIER_VERSION="${PROJECT_VERSION}")
target_compile_options(crier_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wundef -Wwrite-strings -Wpointer-arith
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
  $<$<BOOL:${CRIER_WERROR}>:-Werror>
  -fstack-protector-strong -fstack-clash-protection -fcf-protection)
if(CRIER_SANITIZE STREQUAL "address")
  target_compile_options(crier_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g)
  target_link_options(crier_flags INTERFACE -fsanitize=address,undefined)
elseif(CRIER_SANITIZE STREQUAL "thread")
  target_compile_options(crier_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer -g)
  target_link_options(crier_flags INTERFACE -fsanitize=thread)
else()
  target_compile_definitions(crier_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
endif()
target_link_options(crier_flags INTERFACE -Wl,-z,relro,-z,now)
