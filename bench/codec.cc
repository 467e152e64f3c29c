// Speed and error of every format, as the table of docs/BENCHMARKS.md; with --peer also whole files
// against stock llama-quantize (codec_peer.h).
//
// Usage: codec [--runs N] [--peer PATH [--input FILE --imatrix FILE] [--types A,B,..]]
//
// Speed is per core: megabytes (10^6) of BF16 values per second of processor time, so that other
// programs on the machine do not count; medians of N passes (default 3), once with the scalar
// functions and once with the best instruction set. Every instruction set is a process of its own,
// for a process decides once.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/half.h"
#include "base/rng.h"
#include "base/text.h"
#include "codec/codec.h"
#include "codec/distortion.h"
#include "codec_peer.h"
#include "format/safetensors.h"
#include "simd/choice.h"

namespace karat {
namespace {

constexpr size_t kCols = 2048;
constexpr size_t kRowsMax = 64;
constexpr double kSecondsMin = 0.3;  // of a pass; slow formats encode fewer rows, at least one

double normal(base::Rng& rng) {
  return std::sqrt(-2 * std::log(1 - rng.uniform())) * std::cos(6.283185307179586 * rng.uniform());
}

// Heavy-tailed BF16 values and lognormal importances (sigma 1.2), like trained weights and
// activations.
struct Rows {
  std::vector<float> x;
  std::vector<float> importance;
  std::span<const float> row(size_t i) const { return std::span(x).subspan(i * kCols, kCols); }
};
Rows make_rows() {
  base::Rng rng(1);
  Rows rows;
  for (size_t i = 0; i < kRowsMax * kCols; ++i) {
    const double value = 0.02 * normal(rng) * (1 + 0.5 * std::fabs(normal(rng)));
    rows.x.push_back(base::bf16_to_f32(base::f32_to_bf16(static_cast<float>(value))));
  }
  for (size_t i = 0; i < kCols; ++i) {
    rows.importance.push_back(static_cast<float>(std::exp(1.2 * normal(rng))));
  }
  return rows;
}

double processor_seconds() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

// MB of BF16 per second of body(row), the median of `runs` passes.
double megabytes_per_second(int runs, const std::function<void(size_t)>& body) {
  std::vector<double> speeds;
  for (int run = 0; run < runs; ++run) {
    const double begin = processor_seconds();
    double took = 0;
    size_t rows = 0;
    while (took < kSecondsMin) {
      body(rows++ % kRowsMax);
      took = processor_seconds() - begin;
    }
    speeds.push_back(static_cast<double>(rows * kCols * 2) * 1e-6 / took);
  }
  std::sort(speeds.begin(), speeds.end());
  return speeds[speeds.size() / 2];
}

// One line per format: name, MB/s encoding with importance, MB/s decoding.
void print_speeds(int runs) {
  const Rows rows = make_rows();
  for (const codec::Codec* codec : codec::codecs()) {
    const size_t stride = static_cast<size_t>(tensor::row_bytes(codec->type(), kCols));
    std::vector<std::byte> bytes(kRowsMax * stride);
    std::vector<float> decoded(kCols);
    const auto encoded = [&](size_t row) { return std::span(bytes).subspan(row * stride, stride); };
    const double encode = megabytes_per_second(
        runs, [&](size_t row) { codec->encode_row(rows.row(row), rows.importance, encoded(row)); });
    const double decode =
        megabytes_per_second(runs, [&](size_t row) { codec->decode(encoded(row), decoded); });
    std::printf("%s %.2f %.1f\n", codec->info().name.data(), encode, decode);
  }
}

struct Speeds {
  double encode = 0;
  double decode = 0;
};

// print_speeds in a process that is forced to one instruction set.
std::map<std::string, Speeds> speeds_under(simd::Isa isa, int runs) {
  const std::string command = base::strf("KARAT_ISA=%s '%s' --speeds --runs %d", simd::name_of(isa),
                                         bench::own_path().c_str(), runs);
  FILE* pipe = popen(command.c_str(), "r");
  CHECK(pipe != nullptr);
  std::map<std::string, Speeds> speeds;
  char name[32];
  Speeds s;
  while (std::fscanf(pipe, "%31s %lf %lf", name, &s.encode, &s.decode) == 3) speeds[name] = s;
  CHECK(pclose(pipe) == 0);
  return speeds;
}

// The reference encoder's rows (tests/fixtures/goldens/codec).
class Goldens {
 public:
  static constexpr size_t kRows = 12;

  Goldens() : file_(base::read_file(KARAT_ROOT "/tests/fixtures/goldens/codec/codec.safetensors")) {
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(file_.data()),
                                           file_.size());
    head_ = format::parse_safetensors_head(bytes, file_.size(), "goldens");
  }
  // Empty if there is none of this name.
  std::span<const std::byte> bytes(const std::string& name) const {
    for (const format::SafetensorsEntry& entry : head_.entries) {
      if (entry.name != name) continue;
      return {reinterpret_cast<const std::byte*>(file_.data()) + entry.offset, entry.bytes};
    }
    return {};
  }
  std::vector<float> floats(const std::string& name) const {
    const auto raw = bytes(name);
    std::vector<float> values(raw.size() / sizeof(float));
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }

 private:
  std::string file_;
  format::SafetensorsHead head_;
};

// Our error over the reference's, sum of w e^2 on the rows of random values: geometric mean and the
// largest. Where the reference ignores the importance, its bytes without are compared.
std::string error_ratio(const Goldens& goldens, const codec::Codec& codec, bool importance) {
  std::string name(codec.info().name);
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  auto reference = goldens.bytes(name + (importance ? ".im.bytes" : ".noim.bytes"));
  if (reference.empty() && importance) reference = goldens.bytes(name + ".noim.bytes");
  if (reference.empty()) return "";
  const std::vector<float> input = goldens.floats("input");
  const std::vector<float> imatrix = goldens.floats("imatrix");
  const size_t cols = imatrix.size();
  const size_t stride = reference.size() / Goldens::kRows;
  const std::span<const float> q = importance ? std::span(imatrix) : std::span<const float>();
  double log_sum = 0;
  double largest = 0;
  std::vector<std::byte> ours(stride);
  const std::vector<size_t> random = {0, 1, 2, 3, 7, 8, 9};
  for (const size_t row : random) {
    const std::span<const float> x = std::span(input).subspan(row * cols, cols);
    codec.encode_row(x, q, ours);
    const double ratio =
        codec::distortion(codec, x, ours, q).error /
        codec::distortion(codec, x, reference.subspan(row * stride, stride), q).error;
    log_sum += std::log(ratio);
    largest = std::max(largest, ratio);
  }
  const double mean = std::exp(log_sum / static_cast<double>(random.size()));
  return base::strf("%.3f (%.3f)", mean, largest);
}

void print_table(int runs) {
  const simd::Isa best = simd::supported().front();
  const auto scalar = speeds_under(simd::Isa::scalar, 1);
  const auto fast = speeds_under(best, runs);
  const Goldens goldens;
  std::printf(
      "| type | bits per weight | encode, scalar | encode, %s | decode | error / reference "
      "| with importance |\n|---|---|---|---|---|---|---|\n",
      simd::name_of(best));
  for (const codec::Codec* codec : codec::codecs()) {
    const std::string name(codec->info().name);
    std::printf("| %s | %.4g | %.2f | %.1f | %.0f | %s | %s |\n", name.c_str(),
                8.0 * codec->block_bytes() / codec->block_elems(), scalar.at(name).encode,
                fast.at(name).encode, fast.at(name).decode,
                error_ratio(goldens, *codec, false).c_str(),
                error_ratio(goldens, *codec, true).c_str());
    std::fflush(stdout);
  }
}

int run(int argc, char** argv) {
  int runs = 3;
  bool speeds = false;
  bench::PeerOptions peer;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&]() -> std::string {
      if (++i < argc) return argv[i];
      throw base::fail(base::ErrorKind::usage, "%s needs a value", option.c_str());
    };
    if (option == "--peer-child") return bench::quantize_with_library(argc - i - 1, argv + i + 1);
    if (option == "--speeds") {
      speeds = true;
    } else if (option == "--runs") {
      runs = std::max(1, std::atoi(value().c_str()));
    } else if (option == "--peer") {
      peer.path = value();
    } else if (option == "--input") {
      peer.input = value();
    } else if (option == "--imatrix") {
      peer.imatrix = value();
    } else if (option == "--types") {
      std::istringstream names(value());
      for (std::string name; std::getline(names, name, ',');) peer.types.push_back(name);
    } else {
      throw base::fail(base::ErrorKind::usage, "unknown option %s; see the head of bench/codec.cc",
                       option.c_str());
    }
  }
  peer.runs = runs;
  if (speeds) {
    print_speeds(runs);
  } else if (!peer.path.empty()) {
    bench::compare_with_peer(peer);
  } else {
    print_table(runs);
  }
  return 0;
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) {
  try {
    return karat::run(argc, argv);
  } catch (const karat::base::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
