#include "format/sniff.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>

#include "base/text.h"

namespace karat::format {

namespace {

struct Look {
  std::string_view start;
  const char* description;
};

// Longest first where one start contains another.
constexpr Look kLooks[] = {
    {"GGUF", "a GGUF file"},
    {"version https://git-lfs",
     "a Git-LFS pointer, not the file itself; run 'git lfs pull' in the folder it comes from"},
    {"PK\x03\x04",
     "a zip archive, as PyTorch .bin and .pt checkpoints are; save the model as safetensors first"},
    {"\x1f\x8b", "a gzip archive; unpack it first"},
    {"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"},
    {"tjgg", "a GGML file of 2023, from before GGUF; convert the original checkpoint again"},
    {"fmgg", "a GGML file of 2023, from before GGUF; convert the original checkpoint again"},
    {"lmgg", "a GGML file of 2023, from before GGUF; convert the original checkpoint again"},
    {"\x7f"
     "ELF",
     "a program"},
};

uint64_t little_endian(std::string_view bytes, size_t offset, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value |= uint64_t{static_cast<unsigned char>(bytes[offset + i])} << (8 * i);
  }
  return value;
}

bool is_safetensors(std::string_view head) {
  return head.size() >= 10 && little_endian(head, 0, 8) <= 100'000'000 && head[8] == '{' &&
         (head[9] == '"' || head[9] == '}' || head[9] == ' ');
}

bool is_pickle(std::string_view head) {
  return head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5;
}

bool is_html(std::string_view head) {
  std::string text;
  for (const char c : head) {
    if (!text.empty() || !std::isspace(static_cast<unsigned char>(c))) {
      text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return base::starts_with(text, "<!doctype html") || base::starts_with(text, "<html");
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kSniffBytes)};
}

bool is_text(std::string_view head) {
  // A multi-byte character may be cut at the end of what was read.
  size_t end = head.size();
  for (int i = 0; i < 3 && end > 0 && (static_cast<unsigned char>(head[end - 1]) & 0x80); ++i)
    --end;
  return end > 0 && base::is_utf8(head.substr(0, end)) &&
         std::none_of(head.begin(), head.begin() + static_cast<std::ptrdiff_t>(end), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t' &&
                  c != '\f';
         });
}

}  // namespace

bool is_imatrix_dat(std::span<const std::byte> bytes) {
  const std::string_view head = text_of(bytes);
  if (head.size() < 16) return false;
  const uint64_t entries = little_endian(head, 0, 4), length = little_endian(head, 4, 4);
  const std::string_view name = head.substr(8);
  return entries >= 1 && entries < 1'000'000 && length >= 4 && length < 256 &&
         (base::starts_with(name, "blk.") || base::starts_with(name, "output.") ||
          base::starts_with(name, "token_embd"));
}

std::string look_of(std::span<const std::byte> bytes) {
  const std::string_view head = text_of(bytes);
  for (const Look& look : kLooks) {
    if (base::starts_with(head, look.start)) return look.description;
  }
  if (is_safetensors(head)) return "a safetensors file";
  if (is_pickle(head)) {
    return "a Python pickle, as old PyTorch checkpoints are; save the model as safetensors first";
  }
  if (is_html(head))
    return "a web page, probably an error page saved by a download; fetch it again";
  if (is_imatrix_dat(bytes)) return "an imatrix of the old .dat layout";
  if (!head.empty() && std::all_of(head.begin(), head.end(), [](char c) { return c == 0; })) {
    return "nothing but zeros, as an unfinished download leaves; fetch it again";
  }
  if (is_text(head)) return head[0] == '{' || head[0] == '[' ? "JSON text" : "plain text";
  return "";
}

}  // namespace karat::format
