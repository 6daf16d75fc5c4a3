# What the program needs beside itself; it finds this from where its executable is.

install(DIRECTORY ${PROJECT_SOURCE_DIR}/conf/rules ${PROJECT_SOURCE_DIR}/conf/models
                  ${PROJECT_SOURCE_DIR}/conf/knowledge ${PROJECT_SOURCE_DIR}/conf/hooks
  DESTINATION ${CMAKE_INSTALL_DATADIR}/pipeline-guard)
install(FILES ${PROJECT_SOURCE_DIR}/conf/policy.yaml
  DESTINATION ${CMAKE_INSTALL_DATADIR}/pipeline-guard)
install(FILES ${PROJECT_SOURCE_DIR}/conf/systemd/pipeline-guard.service
              ${PROJECT_SOURCE_DIR}/conf/systemd/pipeline-guard.socket
  DESTINATION lib/systemd/system)
