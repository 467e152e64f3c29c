// karat quantize against stock llama-quantize, file by file. The peer is the path of a
// llama-quantize program, or of a folder with the shared libraries of a llama.cpp release, whose
// llama_model_quantize then runs in a process of its own.
//
// Both turn the same BF16 file into the same type with the same importance and two threads, one
// after the other and again, so that other load meets both. Without an input file it is the demo
// model without its MTP block, with its own importance. Everything that is made is removed.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "format/imatrix.h"

namespace karat::bench {

namespace fs = std::filesystem;

struct PeerOptions {
  std::string path;  // llama-quantize, or a folder with libllama
  std::string input;
  std::string imatrix;
  std::vector<std::string> types;  // empty: all
  int runs = 3;
};

inline std::string own_path() { return fs::read_symlink("/proc/self/exe").string(); }

// llama_ftype values.
struct FileType {
  const char* name;
  int id;
};
inline constexpr FileType kFileTypes[] = {
    {"Q4_0", 2},    {"Q4_1", 3},     {"Q5_0", 8},     {"Q5_1", 9},    {"Q8_0", 7},
    {"Q2_K", 10},   {"Q2_K_S", 21},  {"Q3_K_S", 11},  {"Q3_K_M", 12}, {"Q3_K_L", 13},
    {"Q4_K_S", 14}, {"Q4_K_M", 15},  {"Q5_K_S", 16},  {"Q5_K_M", 17}, {"Q6_K", 18},
    {"IQ1_S", 24},  {"IQ1_M", 31},   {"IQ2_XXS", 19}, {"IQ2_XS", 20}, {"IQ2_S", 28},
    {"IQ2_M", 29},  {"IQ3_XXS", 23}, {"IQ3_XS", 22},  {"IQ3_S", 26},  {"IQ3_M", 27},
    {"IQ4_NL", 25}, {"IQ4_XS", 30},  {"TQ1_0", 36},   {"TQ2_0", 37},  {"MXFP4_MOE", 38},
};

// What the library wants as importance: a list that ends with a null name.
struct PeerImatrixEntry {
  const char* name;
  const float* data;
  size_t size;
};

// Any parameter struct of the library, larger than all; fields at the offsets of llama.cpp v0.5.0
// are changed only where they hold the defaults known from there.
struct PeerParams {
  std::array<unsigned char, 1024> bytes;
  template <class Value>
  void set(size_t offset, Value expected, Value value) {
    Value found;
    std::memcpy(&found, &bytes[offset], sizeof found);
    if (found != expected) {
      throw base::fail(base::ErrorKind::unsupported,
                       "the library's parameter at byte %zu is not what release v0.5.0 has there",
                       offset);
    }
    std::memcpy(&bytes[offset], &value, sizeof value);
  }
};

// The first file of the folder whose name begins with `prefix` and names a shared library.
inline std::string library_named(const std::string& folder, const std::string& prefix) {
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (base::starts_with(name, prefix) && name.find(".so") != std::string::npos) {
      found.push_back(entry.path().string());
    }
  }
  if (found.empty()) {
    throw base::fail(base::ErrorKind::usage, "%s: no library %s*.so", folder.c_str(),
                     prefix.c_str());
  }
  return *std::min_element(found.begin(), found.end());
}

template <class Function>
Function* symbol(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (found == nullptr) throw base::fail(base::ErrorKind::unsupported, "no symbol %s", name);
  return reinterpret_cast<Function*>(found);
}

inline void* open_library(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) throw base::fail(base::ErrorKind::usage, "%s", dlerror());
  return library;
}

// The child process: FOLDER IN OUT FILETYPE THREADS [IMATRIX]. Returns an exit status.
inline int quantize_with_library(int count, char** arguments) {
  CHECK(count >= 5);
  const std::string folder = arguments[0];
  open_library(library_named(folder, "libggml-base."));
  void* ggml = open_library(library_named(folder, "libggml."));
  void* llama = open_library(library_named(folder, "libllama."));
  symbol<void(void (*)(int, const char*, void*), void*)>(llama, "llama_log_set")(
      [](int, const char*, void*) {}, nullptr);
  symbol<void(const char*)>(ggml, "ggml_backend_load_all_from_path")(folder.c_str());
  symbol<void()>(llama, "llama_backend_init")();
  PeerParams params = symbol<PeerParams()>(llama, "llama_model_quantize_default_params")();
  params.set<int32_t>(0, 0, std::atoi(arguments[4]));  // nthread
  params.set<int32_t>(4, 7, std::atoi(arguments[3]));  // ftype
  std::vector<PeerImatrixEntry> entries;
  std::vector<std::vector<float>> means;
  tensor::Importance importance;
  if (count > 5) {
    importance = format::read_imatrix(arguments[5]);
    for (const auto& [name, entry] : importance.entries) {
      std::vector<float>& mean = means.emplace_back();
      for (size_t i = 0; i < entry.in_sum2.size(); ++i) {
        const size_t mat = i / static_cast<size_t>(entry.cols);
        const int64_t rows = entry.counts[entry.counts.size() == 1 ? 0 : mat];
        mean.push_back(rows > 0 ? static_cast<float>(entry.in_sum2[i] / static_cast<double>(rows))
                                : 1.0F);
      }
      entries.push_back({name.c_str(), mean.data(), mean.size()});
    }
    entries.push_back({nullptr, nullptr, 0});
    params.set<const void*>(24, nullptr, entries.data());
  }
  using Quantize = uint32_t(const char*, const char*, const PeerParams*);
  return symbol<Quantize>(llama, "llama_model_quantize")(arguments[1], arguments[2], &params) == 0
             ? 0
             : 1;
}

struct Run {
  double wall = 0;
  double processor = 0;
};

// Runs a program without its output; nothing if it fails.
inline std::optional<Run> run_program(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const auto begin = std::chrono::steady_clock::now();
  pid_t child = 0;
  const int failed =
      posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return std::nullopt;
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child || status != 0) return std::nullopt;
  const auto seconds = [](timeval t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return Run{std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
             seconds(usage.ru_utime) + seconds(usage.ru_stime)};
}

// A folder beside this program that is removed with all it holds.
class Workplace {
 public:
  Workplace() : path_(own_path() + "." + std::to_string(getpid())) { fs::create_directory(path_); }
  ~Workplace() { fs::remove_all(path_); }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;
  std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class Comparison {
 public:
  explicit Comparison(const PeerOptions& options)
      : options_(options), karat_(fs::path(own_path()).parent_path().parent_path() / "karat") {
    prepare();
  }

  // One row of the table.
  void compare(const FileType& type) {
    std::vector<Run> ours;
    std::vector<Run> theirs;
    for (int run = 0; run < options_.runs; ++run) {
      const auto us = run_program(our_command(type));
      if (!us) return std::printf("| %s | not written by karat | | | | | |\n", type.name), void();
      our_bytes_ = fs::file_size(work_.file("karat.gguf"));
      const auto peer = run_program(peer_command(type));
      if (!peer)
        return std::printf("| %s | not written by the peer | | | | | |\n", type.name), void();
      peer_bytes_ = fs::file_size(work_.file("peer.gguf"));
      ours.push_back(*us);
      theirs.push_back(*peer);
      fs::remove(work_.file("karat.gguf"));
      fs::remove(work_.file("peer.gguf"));
    }
    const auto median = [](std::vector<Run>& runs, double Run::*field) {
      std::sort(runs.begin(), runs.end(),
                [&](const Run& a, const Run& b) { return a.*field < b.*field; });
      return runs[runs.size() / 2].*field;
    };
    const double wall = median(ours, &Run::wall);
    const double processor = median(ours, &Run::processor);
    const double peer_wall = median(theirs, &Run::wall);
    const double peer_processor = median(theirs, &Run::processor);
    std::printf("| %s | %.2f (%.2f) | %.2f (%.2f) | %.1f (%.1f) | %.0f | %ju | %ju |\n", type.name,
                wall, processor, peer_wall, peer_processor, peer_wall / wall,
                peer_processor / processor, input_bytes_ * 1e-6 / wall,
                static_cast<uintmax_t>(our_bytes_), static_cast<uintmax_t>(peer_bytes_));
    std::fflush(stdout);
  }

 private:
  void prepare() {
    input_ = options_.input;
    imatrix_ = options_.imatrix;
    const std::string model = KARAT_ROOT "/demo/model";
    if (input_.empty()) {
      input_ = work_.file("bf16.gguf");
      imatrix_ = work_.file("imatrix.gguf");
      if (!run_program({karat_, "convert", model, "-o", input_, "--no-mtp"}) ||
          !run_program({karat_, "calibrate", "-m", input_, "-f", model + "/text/calibration.txt",
                        "-o", imatrix_, "--chunks", "8"})) {
        throw base::fail(base::ErrorKind::io, "the demo model could not be prepared");
      }
    }
    input_bytes_ = static_cast<double>(fs::file_size(input_));
    if (static_cast<double>(fs::space(work_.file("")).available) < 2 * input_bytes_) {
      throw base::fail(base::ErrorKind::io, "less than twice the input's size is free on disk");
    }
  }

  std::vector<std::string> our_command(const FileType& type) const {
    std::vector<std::string> command = {karat_, "quantize", "--no-receipt"};
    if (!imatrix_.empty()) command.insert(command.end(), {"--imatrix", imatrix_});
    command.insert(command.end(), {input_, work_.file("karat.gguf"), type.name, "2"});
    return command;
  }

  std::vector<std::string> peer_command(const FileType& type) const {
    const std::string out = work_.file("peer.gguf");
    std::vector<std::string> command;
    if (fs::is_directory(options_.path)) {
      command = {own_path(), "--peer-child", options_.path, input_, out, std::to_string(type.id),
                 "2"};
      if (!imatrix_.empty()) command.push_back(imatrix_);
      return command;
    }
    command = {options_.path};
    if (!imatrix_.empty()) command.insert(command.end(), {"--imatrix", imatrix_});
    command.insert(command.end(), {input_, out, type.name, "2"});
    return command;
  }

  PeerOptions options_;
  Workplace work_;
  std::string karat_;
  std::string input_;
  std::string imatrix_;
  double input_bytes_ = 0;
  uintmax_t our_bytes_ = 0;
  uintmax_t peer_bytes_ = 0;
};

// Seconds are by the clock, in brackets of the processor; medians.
inline void compare_with_peer(const PeerOptions& options) {
  Comparison comparison(options);
  std::printf(
      "| type | karat, s | llama-quantize, s | times as fast | karat, MB/s of input | karat, "
      "bytes | llama-quantize, bytes |\n|---|---|---|---|---|---|---|\n");
  for (const FileType& type : kFileTypes) {
    const auto& wanted = options.types;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), type.name) == wanted.end()) {
      continue;
    }
    comparison.compare(type);
  }
}

}  // namespace karat::bench
