#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "text/unicode_tables.h"

namespace karat::text {

namespace {

constexpr char32_t kReplacement = 0xFFFD;

// The property White_Space outside ASCII (Unicode 15.0, PropList.txt); utf8proc has no table of it.
bool is_wide_space(char32_t c) {
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Length of the UTF-8 sequence that `lead` starts; 0 if it starts none.
size_t sequence_size(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// Whether `byte` may stand at place `index` >= 1 of the sequence (Unicode 15.0, table 3-7), or
// makes half a surrogate with it.
bool continues(unsigned char lead, size_t index, unsigned char byte) {
  unsigned char low = 0x80, high = 0xBF;
  if (index == 1) {
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  }
  return byte >= low && byte <= high;
}

// The range of the sorted `table` that has `c`, or null.
template <class Range, size_t n>
const Range* find_range(const Range (&table)[n], char32_t c) {
  const Range* range =
      std::ranges::upper_bound(table, c, {}, [](const Range& r) { return r.first; });
  return range != table && c <= range[-1].last ? range - 1 : nullptr;
}

CharClass class_of_new_char(char32_t c) {
  const ClassRange* range = find_range(kNewChars, c);
  return range == nullptr ? CharClass::other : range->kind;
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

void append_decomposed(char32_t c, std::vector<utf8proc_int32_t>& out) {
  utf8proc_int32_t parts[32];  // the longest canonical decomposition has 4
  int boundary = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts,
                                                         32, UTF8PROC_DECOMPOSE, &boundary);
  CHECK(count >= 1 && count <= 32);
  out.insert(out.end(), parts, parts + count);
}

// The canonical ordering algorithm. (utf8proc's own is quadratic in the length of a run.)
void order_marks(std::vector<utf8proc_int32_t>& chars) {
  for (auto begin = chars.begin(); begin != chars.end();) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end =
        std::find_if(begin, chars.end(), [](auto c) { return combining_class(c) == 0; });
    std::stable_sort(begin, end,
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

// Orders and composes what was decomposed so far, and empties `chars`.
void append_composed(std::vector<utf8proc_int32_t>& chars, std::string& out) {
  order_marks(chars);
  const utf8proc_ssize_t count =
      utf8proc_normalize_utf32(chars.data(), static_cast<utf8proc_ssize_t>(chars.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  CHECK(count >= 0 && static_cast<size_t>(count) <= chars.size());
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    append_utf8(static_cast<char32_t>(chars[static_cast<size_t>(i)]), out);
  }
  chars.clear();
}

void append_nfc(std::string_view text, std::vector<utf8proc_int32_t>& chars, std::string& out) {
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_char(text, i);
    if (find_range(kUnknownToNfc, c) == nullptr) {
      append_decomposed(c, chars);
    } else {  // an unknown character has combining class 0 and joins to nothing
      append_composed(chars, out);
      append_utf8(c, out);
    }
  }
  append_composed(chars, out);
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

CharClass char_class(char32_t c) {
  if (c == '\r' || c == '\n') return CharClass::newline;
  if (c == ' ' || (c >= '\t' && c <= '\f') || is_wide_space(c)) return CharClass::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharClass::letter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return CharClass::mark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharClass::number;
    case UTF8PROC_CATEGORY_CN:
      return class_of_new_char(c);
    default:
      return CharClass::other;
  }
}

char32_t lower_case(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

char32_t next_char(std::string_view text, size_t& position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const unsigned char lead = byte(0);
  const size_t size = sequence_size(lead);
  DCHECK(size >= 1 && position + size <= text.size());
  char32_t c = size == 1 ? lead : lead & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) c = (c << 6) | (byte(i) & 0x3Fu);
  position += size;
  return c;
}

void append_utf8(char32_t c, std::string& out) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

void Utf8Repair::push(std::string_view bytes, std::string& out) {
  for (size_t i = 0; i < bytes.size();) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (kept_size_ == 0) {
      const size_t size = sequence_size(byte);
      if (size == 0) append_utf8(kReplacement, out);
      if (size == 1) out += bytes[i];
      if (size >= 2) kept_[kept_size_++] = bytes[i];
      ++i;
      continue;
    }
    const auto lead = static_cast<unsigned char>(kept_[0]);
    if (keeps_surrogate() || !continues(lead, kept_size_, byte)) {  // the byte begins something new
      flush(out);
      continue;
    }
    kept_[kept_size_++] = bytes[i++];
    if (kept_size_ == sequence_size(lead)) {
      out.append(kept_.data(), kept_size_);
      kept_size_ = 0;
    }
  }
}

bool Utf8Repair::keeps_surrogate() const {
  return kept_size_ == 2 && kept_[0] == '\xED' && static_cast<unsigned char>(kept_[1]) >= 0xA0;
}

void Utf8Repair::flush(std::string& out) {
  if (kept_size_ > 0) append_utf8(kReplacement, out);
  if (keeps_surrogate()) append_utf8(kReplacement, out);  // its bytes belong to no character
  kept_size_ = 0;
}

std::string repair_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  Utf8Repair repair;
  repair.push(bytes, out);
  repair.flush(out);
  return out;
}

std::string nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::vector<utf8proc_int32_t> chars;
  for (size_t i = 0; i < text.size();) {
    size_t ascii_end = i;
    while (ascii_end < text.size() && is_ascii(text[ascii_end])) ++ascii_end;
    if (ascii_end == text.size()) {
      out.append(text.substr(i));
      break;
    }
    // ASCII never joins to what precedes it, so a stretch can begin with the ASCII character that
    // following marks may join to, and end before the next ASCII character.
    const size_t begin = ascii_end > i ? ascii_end - 1 : ascii_end;
    out.append(text.substr(i, begin - i));
    size_t end = ascii_end;
    while (end < text.size() && !is_ascii(text[end])) ++end;
    append_nfc(text.substr(begin, end - begin), chars, out);
    i = end;
  }
  return out;
}

}  // namespace karat::text
