// Checkpoints for tests: the tiny one under other names, with tensors left out, added or changed.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/safetensors.h"
#include "tensor/source.h"

namespace karat::test {

inline const std::string kFixtures = std::string(KARAT_ROOT) + "/tests/fixtures/";
inline const std::string kTinyCheckpoint = kFixtures + "tiny-random";
inline const std::string kSplitCheckpoint = kFixtures + "tiny-random-split";

// Tensors in memory, in the order added.
class MemorySource : public tensor::TensorSource {
 public:
  void add(tensor::TensorInfo info, std::vector<std::byte> bytes) {
    infos_.push_back(std::move(info));
    bytes_.push_back(std::move(bytes));
  }
  std::vector<std::byte>& bytes(const std::string& name) {
    return bytes_[static_cast<size_t>(&at(name) - infos_.data())];
  }
  const std::vector<tensor::TensorInfo>& tensors() const override { return infos_; }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    const auto index = static_cast<size_t>(&at(tensor.name) - infos_.data());
    const auto row_bytes = static_cast<size_t>(infos_[index].row_bytes());
    if (out.size() != static_cast<size_t>(row_count) * row_bytes ||
        static_cast<size_t>(row_begin + row_count) * row_bytes > bytes_[index].size()) {
      throw std::logic_error("rows outside of " + tensor.name);
    }
    std::memcpy(out.data(), bytes_[index].data() + static_cast<size_t>(row_begin) * row_bytes,
                out.size());
  }
  std::vector<format::SafetensorsItem> items() const {
    std::vector<format::SafetensorsItem> out;
    for (size_t i = 0; i < infos_.size(); ++i) out.push_back({infos_[i], bytes_[i]});
    return out;
  }

 private:
  std::vector<tensor::TensorInfo> infos_;
  std::vector<std::vector<std::byte>> bytes_;
};

// "" leaves the tensor out.
using Rename = std::function<std::string(const std::string&)>;

inline std::shared_ptr<MemorySource> renamed(const std::string& folder, const Rename& rename) {
  const format::SafetensorsSource from(folder);
  auto out = std::make_shared<MemorySource>();
  for (tensor::TensorInfo info : from.tensors()) {
    std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
    from.read(info, bytes);
    info.name = rename(info.name);
    if (!info.name.empty()) out->add(std::move(info), std::move(bytes));
  }
  return out;
}

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  if (text.rfind(from, 0) == 0) text.replace(0, from.size(), to);
  return text;
}
inline bool begins(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}

}  // namespace karat::test
