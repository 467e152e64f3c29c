#include "text/bpe.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>

#include "base/error.h"
#include "text/unicode.h"

namespace karat::text {

namespace {

bool stands_for_itself(unsigned byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

constexpr char32_t kShiftedFirst = 0x100;

// The alphabet by byte.
const std::array<char32_t, 256>& alphabet() {
  static const std::array<char32_t, 256> table = [] {
    std::array<char32_t, 256> codes{};
    char32_t next = kShiftedFirst;
    for (unsigned byte = 0; byte < 256; ++byte) {
      codes[byte] = stands_for_itself(byte) ? char32_t{byte} : next++;
    }
    return codes;
  }();
  return table;
}

// The byte by code point, -1 where there is none.
const std::array<int, 0x200>& bytes_of_alphabet() {
  static const std::array<int, 0x200> table = [] {
    std::array<int, 0x200> bytes{};
    bytes.fill(-1);
    for (size_t byte = 0; byte < 256; ++byte) bytes[alphabet()[byte]] = static_cast<int>(byte);
    return bytes;
  }();
  return table;
}

// The tokens of a piece as a doubly linked list in arrays; merged-away tokens are marked kGone.
constexpr uint32_t kNone = UINT32_MAX;
constexpr uint32_t kGone = UINT32_MAX;

struct Node {
  uint32_t id, previous, next;
};

}  // namespace

std::string byte_to_alphabet(uint8_t byte) {
  std::string out;
  append_utf8(alphabet()[byte], out);
  return out;
}

std::optional<std::string> alphabet_to_bytes(std::string_view spelled) {
  std::string out;
  for (size_t i = 0; i < spelled.size();) {
    const char32_t c = next_char(spelled, i);
    const int byte = c < bytes_of_alphabet().size() ? bytes_of_alphabet()[c] : -1;
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
  }
  return out;
}

Bpe::Bpe(std::span<const uint32_t> byte_ids, std::span<const Merge> merges)
    : byte_ids_(byte_ids.begin(), byte_ids.end()) {
  CHECK(byte_ids_.size() == 256);
  CHECK(merges.size() < kNone);
  std::vector<uint32_t> order(merges.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::pair(merges[a].left, merges[a].right) < std::pair(merges[b].left, merges[b].right);
  });
  uint32_t left_count = 0;
  for (const Merge& merge : merges) left_count = std::max(left_count, merge.left + 1);
  first_.assign(size_t{left_count} + 1, 0);
  rules_.reserve(merges.size());
  for (const uint32_t rank : order) {
    const Merge& merge = merges[rank];
    rules_.push_back({merge.right, rank, merge.product});
    ++first_[merge.left + 1];
  }
  for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
}

const Bpe::Rule* Bpe::find(uint32_t left, uint32_t right) const {
  if (size_t{left} + 1 >= first_.size()) return nullptr;
  const Rule* begin = rules_.data() + first_[left];
  const Rule* end = rules_.data() + first_[left + 1];
  const Rule* rule = std::lower_bound(
      begin, end, right, [](const Rule& a, uint32_t wanted) { return a.right < wanted; });
  return rule != end && rule->right == right ? rule : nullptr;
}

size_t Bpe::encode(std::string_view bytes, std::vector<uint32_t>& out) const {
  if (bytes.size() >= kNone) {
    throw base::fail(base::ErrorKind::bad_input, "a word of %zu bytes is too long to tokenize",
                     bytes.size());
  }
  const auto count = static_cast<uint32_t>(bytes.size());
  std::vector<Node> nodes(count);
  for (uint32_t i = 0; i < count; ++i) {
    nodes[i] = {byte_ids_[static_cast<uint8_t>(bytes[i])], i - 1, i + 1 < count ? i + 1 : kNone};
  }
  size_t looked_at = 0;
  // Candidates (rank, position of the left token); one that no longer holds when its turn comes is
  // recognised because its pair has another rank by then.
  std::vector<uint64_t> found;
  const auto candidate = [&](uint32_t i) -> std::optional<uint64_t> {
    if (i == kNone || nodes[i].next == kNone) return std::nullopt;
    ++looked_at;
    const Rule* rule = find(nodes[i].id, nodes[nodes[i].next].id);
    if (rule == nullptr) return std::nullopt;
    return (uint64_t{rule->rank} << 32) | i;
  };
  for (uint32_t i = 0; i < count; ++i) {
    if (const auto key = candidate(i)) found.push_back(*key);
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue(std::greater<>{},
                                                                             std::move(found));
  while (!queue.empty()) {
    const uint64_t key = queue.top();
    queue.pop();
    const auto i = static_cast<uint32_t>(key);
    Node& left = nodes[i];
    if (left.id == kGone || left.next == kNone) continue;
    const Rule* rule = find(left.id, nodes[left.next].id);
    if (rule == nullptr || rule->rank != key >> 32) continue;
    Node& right = nodes[left.next];
    left.id = rule->product;
    left.next = right.next;
    right.id = kGone;
    if (left.next != kNone) nodes[left.next].previous = i;
    for (const uint32_t changed : {left.previous, i}) {
      if (const auto next_key = candidate(changed)) queue.push(*next_key);
    }
  }
  for (uint32_t i = 0; i != kNone && i < count; i = nodes[i].next) out.push_back(nodes[i].id);
  return looked_at;
}

}  // namespace karat::text
