# cmake -DSOURCE=.. -DTYPE=.. -DOUTPUT=.. -P build_id.cmake: writes the definition of kBuildId.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
string(STRIP "${TYPE} ${commit}" id)
file(WRITE ${OUTPUT} "#include \"cli/build_id.h\"\n\n"
     "namespace karat::cli {\n\nconst char* const kBuildId = \"${id}\";\n\n}  // namespace karat::cli\n")
