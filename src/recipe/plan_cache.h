// What planning has measured, kept by content: a file per result, named by the hash of everything
// that determines it. Whoever is killed goes on where it was, and another target begins with what
// there is.
#pragma once

#include <optional>
#include <string>

#include "base/fingerprint.h"
#include "base/json.h"

namespace karat::recipe {

class PlanCache {
 public:
  // A folder, made when something is first kept. Without a name nothing is kept.
  explicit PlanCache(std::string folder) : folder_(std::move(folder)) {}
  const std::string& folder() const { return folder_; }

  // The result of this key; nothing if there is none, or if its file is damaged.
  std::optional<base::Json> find(const base::Fingerprint& key) const;
  // Errors as base::write_file's.
  void keep(const base::Fingerprint& key, const base::Json& value) const;

 private:
  std::string path_of(const std::string& key) const;
  std::string folder_;
};

}  // namespace karat::recipe
