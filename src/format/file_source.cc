#include "format/file_source.h"

#include <numeric>
#include <unordered_map>

#include "base/error.h"
#include "base/text.h"

namespace karat::format {

using base::printable;

void FileSource::read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                           std::span<std::byte> out) const {
  const size_t index = index_of(tensor);
  const tensor::TensorInfo& info = tensors_[index];
  CHECK(row_begin >= 0 && row_count >= 0 && row_begin <= info.shape.rows() - row_count);
  const auto row_bytes = static_cast<uint64_t>(info.row_bytes());
  CHECK(out.size() == static_cast<uint64_t>(row_count) * row_bytes);
  const Place place = places_[index];
  files_[place.file].read_at(place.offset + static_cast<uint64_t>(row_begin) * row_bytes, out,
                             "tensor '" + info.name + "'");
}

void FileSource::will_read(const tensor::TensorInfo& tensor, int64_t row_begin,
                           int64_t row_count) const {
  const size_t index = index_of(tensor);
  const auto row_bytes = static_cast<uint64_t>(tensors_[index].row_bytes());
  files_[places_[index].file].will_read(
      places_[index].offset + static_cast<uint64_t>(row_begin) * row_bytes,
      static_cast<uint64_t>(row_count) * row_bytes);
}

uint64_t FileSource::files_bytes() const {
  return std::accumulate(files_.begin(), files_.end(), uint64_t{0},
                         [](uint64_t sum, const base::File& file) { return sum + file.size(); });
}

const base::File& FileSource::add_file(base::File file) {
  paths_.push_back(file.path());
  files_.push_back(std::move(file));
  return files_.back();
}

void FileSource::add_tensor(tensor::TensorInfo tensor, Place place) {
  tensors_.push_back(std::move(tensor));
  places_.push_back(place);
}

void FileSource::check_unique_names() const {
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto [it, fresh] = seen.emplace(tensors_[i].name, i);
    if (!fresh) {
      throw base::fail(base::ErrorKind::bad_input,
                       "%s: tensor '%s' is also in %s; the files do not belong together, fetch the "
                       "model again",
                       printable(paths_[places_[i].file]).c_str(),
                       printable(tensors_[i].name).c_str(),
                       printable(paths_[places_[it->second].file]).c_str());
    }
  }
}

size_t FileSource::index_of(const tensor::TensorInfo& tensor) const {
  const std::less<const tensor::TensorInfo*> before;
  const tensor::TensorInfo* first = tensors_.data();
  if (!before(&tensor, first) && before(&tensor, first + tensors_.size())) {
    return static_cast<size_t>(&tensor - first);
  }
  return static_cast<size_t>(&at(tensor.name) - first);
}

}  // namespace karat::format
