#include "base/fingerprint.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace karat::base {

std::string fingerprint_text(const Fingerprint& fingerprint) {
  Json json = Json::object();
  for (const auto& [name, value] : fingerprint) json.set(name, value);
  return json.dump();
}

std::string fingerprint_differences(const std::string& theirs, const std::string& ours) {
  const std::optional<Json> a = try_parse_json(theirs), b = try_parse_json(ours);
  if (!a || !a->is_object() || !b || !b->is_object()) return "";
  std::string names;
  const auto note = [&](const std::string& name) {
    names += (names.empty() ? "" : ", ") + printable(name, 60);
  };
  for (const auto& [name, value] : b->as_object()) {
    const Json* other = a->find(name);
    if (other == nullptr || other->dump() != value.dump()) note(name);
  }
  for (const auto& [name, value] : a->as_object()) {
    if (b->find(name) == nullptr) note(name);
  }
  return names;
}

std::string file_state(const std::string& path) {
  constexpr uint64_t kHeadBytes = uint64_t{1} << 20;
  const File file(path);
  std::vector<std::byte> head(std::min(file.size(), kHeadBytes));
  file.read_at(0, head);
  const auto changed = std::filesystem::last_write_time(path).time_since_epoch().count();
  return strf("%llu bytes, changed %lld, begins %s", static_cast<unsigned long long>(file.size()),
              static_cast<long long>(changed), sha256_hex(head).c_str());
}

}  // namespace karat::base
