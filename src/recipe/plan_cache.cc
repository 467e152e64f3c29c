#include "recipe/plan_cache.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

namespace karat::recipe {

std::string PlanCache::path_of(const std::string& key) const {
  return folder_ + "/" + base::sha256_hex(std::as_bytes(std::span(key))) + ".json";
}

std::optional<base::Json> PlanCache::find(const base::Fingerprint& key) const {
  const std::string text = base::fingerprint_text(key), path = path_of(text);
  if (folder_.empty() || !base::file_exists(path)) return std::nullopt;
  const auto kept = base::try_parse_json(base::read_file(path));
  if (!kept || !kept->is_object()) return std::nullopt;
  const base::Json *its_key = kept->find("key"), *value = kept->find("value");
  const bool ours = its_key != nullptr && value != nullptr && its_key->is_string() &&
                    its_key->as_string() == text;
  if (!ours) return std::nullopt;
  return *value;
}

void PlanCache::keep(const base::Fingerprint& key, const base::Json& value) const {
  if (folder_.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    throw base::fail(base::ErrorKind::io, "%s: %s; give another folder with --cache",
                     base::printable(folder_).c_str(), error.message().c_str());
  }
  const std::string text = base::fingerprint_text(key);
  base::Json entry = base::Json::object();
  entry.set("key", text);
  entry.set("value", value);
  base::write_file(path_of(text), entry.dump() + "\n");
}

}  // namespace karat::recipe
