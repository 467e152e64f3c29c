// How this program was built; the definition is generated (packaging/build_id.cmake).
#pragma once

namespace karat::cli {

// Build type and commit: "Release 0123456789ab", without the commit outside of git.
extern const char* const kBuildId;

}  // namespace karat::cli
