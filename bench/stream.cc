// Calibration of a model that is larger than memory, at full width: a BF16 checkpoint of random
// weights is made in FOLDER and random tokens go through it block by block.
//
// Usage: stream FOLDER [--layers N] [--keep] RUN...
//   RUN is TOKENS,LAYERS,CONTEXT,THREADS[,f32|bf16[,BATCH[,hessians]]], e.g. 65536,10,512,2,bf16
//   With `hessians` those of all layers and experts are formed, too, and each is read once.
// A layer takes 1.7 GB of disk, the tables 1 GB; the checkpoint of N (default 10) layers goes at
// the end unless --keep, and is used again if it is there. CSV on stdout: products of the linear
// layers, attention and delta rule as TFLOP/s, their share of the machine's fused multiply-adds in
// float32 measured in the same run, peak of resident memory (of the run alone), bytes of weights
// read, and processor time. growth.py runs it for a table and a plot of how the cost grows.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "calib/streamed.h"
#include "kernel_bench.h"
#include "kernels/dispatch.h"
#include "model/names.h"
#include "model/open.h"
#include "support/full_checkpoint.h"

namespace karat {
namespace {

struct Run {
  int64_t tokens = 0, layers = 0, context = 0;
  int threads = 0;
  bool bf16 = false;
  int64_t batch = 4096;
  bool hessians = false;
};

Run parse_run(const std::string& text) {
  std::vector<std::string> fields;
  std::istringstream words(text);
  for (std::string field; std::getline(words, field, ',');) fields.push_back(field);
  Run run;
  run.tokens = std::atoll(fields.at(0).c_str());
  run.layers = std::atoll(fields.at(1).c_str());
  run.context = std::atoll(fields.at(2).c_str());
  run.threads = std::atoi(fields.at(3).c_str());
  run.bf16 = fields.size() > 4 && fields[4] == "bf16";
  if (fields.size() > 5) run.batch = std::atoll(fields[5].c_str());
  run.hessians = fields.size() > 6 && fields[6] == "hessians";
  return run;
}

// The full shape with another number of layers, without MTP block and vision.
base::Json config_of(int64_t layers) {
  base::Json config = test::full_config(), text = config.at("text_config");
  base::Json types = base::Json::array();
  for (int64_t i = 0; i < layers; ++i) {
    types.push(i % 4 == 3 ? "full_attention" : "linear_attention");
  }
  text.set("layer_types", std::move(types));
  text.set("num_hidden_layers", layers);
  text.set("mtp_num_hidden_layers", 0);
  config.set("text_config", std::move(text));
  return config;
}

// 32 MiB of uniform numbers of standard deviation 0.02, as BF16.
std::vector<uint16_t> random_pool() {
  base::Rng rng(1);
  std::vector<uint16_t> pool(size_t{1} << 24);
  for (uint16_t& word : pool) {
    const auto value = static_cast<float>((rng.uniform() - 0.5) * 0.0693);
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    word = static_cast<uint16_t>(bits >> 16);
  }
  return pool;
}

// One shard: its header, then for each tensor the pool from a place of its own on.
void write_shard(const std::string& path, const std::vector<test::NamedShape>& tensors,
                 const std::vector<uint16_t>& pool, base::Rng& rng) {
  std::string head = "{";
  int64_t at = 0;
  for (const auto& [name, shape] : tensors) {
    const int64_t end = at + 2 * shape.elements();
    head += base::strf("%s\"%s\":{\"dtype\":\"BF16\",\"shape\":%s,\"data_offsets\":[%lld,%lld]}",
                       at > 0 ? "," : "", name.c_str(), shape.str().c_str(),
                       static_cast<long long>(at), static_cast<long long>(end));
    at = end;
  }
  head += "}";
  base::OutputFile file(path);
  file.append(test::raw(static_cast<uint64_t>(head.size())) + head);
  for (const auto& [name, shape] : tensors) {
    size_t left = static_cast<size_t>(shape.elements());
    size_t from = static_cast<size_t>(rng.below(pool.size()));
    while (left > 0) {
      const size_t count = std::min(left, pool.size() - from);
      file.append(std::as_bytes(std::span(pool.data() + from, count)));
      left -= count;
      from = 0;
    }
  }
  file.commit();
}

void write_checkpoint(const std::string& folder, int64_t layers) {
  std::filesystem::create_directories(folder);
  const base::Json json = config_of(layers);
  const model::Config config = model::config_from_hf(json, "config.json");
  const std::vector<uint16_t> pool = random_pool();
  base::Rng rng(2);
  base::Json::Object map;
  const auto shard = [&](const std::string& name, const std::vector<test::NamedShape>& tensors) {
    write_shard(folder + "/" + name, tensors, pool, rng);
    for (const auto& tensor : tensors) map.emplace_back(tensor.first, name);
  };
  const model::TensorRule ends[] = {model::token_embd_rule(config),
                                    model::output_norm_rule(config)};
  const std::string prefix = "model.language_model.";
  shard("model-ends.safetensors", {{prefix + std::string(ends[0].hf), ends[0].hf_shape},
                                   {prefix + std::string(ends[1].hf), ends[1].hf_shape},
                                   {"lm_head.weight", ends[0].hf_shape}});
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<test::NamedShape> tensors;
    test::add_block(tensors, prefix + "layers." + std::to_string(layer) + ".", config,
                    config.mixers[static_cast<size_t>(layer)], false);
    shard(base::strf("model-%05lld.safetensors", static_cast<long long>(layer)), tensors);
  }
  base::Json index = base::Json::object();
  index.set("weight_map", std::move(map));
  base::write_file(folder + "/model.safetensors.index.json", index.dump());
  base::write_file(folder + "/config.json", json.dump(2));
}

// Counts what is read.
class Counted : public tensor::TensorSource {
 public:
  explicit Counted(const tensor::TensorSource& source) : source_(source) {}
  const std::vector<tensor::TensorInfo>& tensors() const override { return source_.tensors(); }
  void read_rows(const tensor::TensorInfo& tensor, int64_t begin, int64_t count,
                 std::span<std::byte> out) const override {
    bytes_ += out.size();
    source_.read_rows(tensor, begin, count, out);
  }
  std::string origin() const override { return source_.origin(); }
  uint64_t bytes() const { return bytes_; }

 private:
  const tensor::TensorSource& source_;
  mutable std::atomic<uint64_t> bytes_{0};
};

// Multiply-adds of one token, twice: linear layers, half the context of attention, delta rule.
double flops_per_token(const tensor::TensorSource& source, const model::Config& c,
                       int64_t context) {
  double products = 0;
  for (const tensor::TensorInfo& info : source.tensors()) {
    const int64_t layer = model::layer_of(info.name);
    if (layer < 0 || layer >= c.layers() || info.shape.rank() < 2) continue;
    const double share = info.shape.experts() > 1
                             ? static_cast<double>(c.experts_used) / static_cast<double>(c.experts)
                             : 1;
    products += share * static_cast<double>(info.shape.elements());
  }
  for (const model::Mixer mixer : c.mixers) {
    products += mixer == model::Mixer::attention
                    ? static_cast<double>(context * c.query_width())
                    : static_cast<double>(4 * c.value_heads * c.key_dim * c.value_dim);
  }
  return 2 * products;
}

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

double peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return 1024 * std::atof(line.c_str() + 6);
  }
  return 0;
}

void measure(const model::OpenedModel& opened, const Run& run) {
  model::Config config = opened.config;
  config.mixers.resize(static_cast<size_t>(std::min(run.layers, config.layers())));
  calib::Corpus corpus;
  corpus.chunk_size = run.context;
  corpus.chunks = run.tokens / run.context;
  base::Rng rng(3);
  for (int64_t i = 0; i < corpus.chunks * run.context; ++i) {
    corpus.tokens.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocab))));
  }
  base::ThreadPool pool(run.threads);
  calib::StreamedOptions options;
  options.stream.batch_tokens = run.batch;
  if (run.bf16) options.stream.forward.activations = model::Activations::bf16;
  double traces = 0;
  if (run.hessians) {
    options.hessians = [&](const calib::Hessian& hessian) {
      for (const double value : hessian.values) traces += value;
    };
  }
  const Counted source(*opened.source);
  const uint64_t foretold = calib::streamed_bytes(source, config, corpus, options);
  reset_peak();
  const double cpu = processor_seconds();
  const auto start = std::chrono::steady_clock::now();
  const tensor::Importance importance =
      calib::calibrate_streamed(source, config, corpus, options, pool);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto tokens = static_cast<double>(corpus.tokens_used());
  const double flops = tokens * flops_per_token(source, config, run.context);
  const double peak = 1e9 * bench::peak_gflops(kernels::table().name) * run.threads;
  std::printf("%s,%s%s,%d,%.0f,%lld,%lld,%lld,%.1f,%.0f,%.3f,%.0f,%.2f,%.2f,%.2f,%.0f\n",
              kernels::table().name, run.bf16 ? "bf16" : "f32", run.hessians ? "+hessians" : "",
              run.threads, tokens, static_cast<long long>(config.layers()),
              static_cast<long long>(run.context), static_cast<long long>(run.batch), seconds,
              tokens / seconds, flops / seconds / 1e12, 100 * flops / seconds / peak,
              peak_bytes() / 1e9, static_cast<double>(foretold) / 1e9,
              static_cast<double>(source.bytes()) / 1e9, processor_seconds() - cpu);
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  std::string folder;
  int64_t layers = 10;
  bool keep = false;
  std::vector<Run> runs;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--keep") {
      keep = true;
    } else if (word == "--layers" && i + 1 < argc) {
      layers = std::atoll(argv[++i]);
    } else if (folder.empty()) {
      folder = word + "/karat-stream";
    } else {
      runs.push_back(parse_run(word));
    }
  }
  if (runs.empty()) {
    std::fprintf(stderr, "usage: stream FOLDER [--layers N] [--keep] RUN...\n");
    return 2;
  }
  if (!base::file_exists(folder + "/config.json")) {
    const auto parent = std::filesystem::path(folder).parent_path();
    const double needed = 2.2e9 + 1.75e9 * static_cast<double>(layers);
    if (static_cast<double>(std::filesystem::space(parent).available) < needed) {
      std::fprintf(stderr, "%.0f GB are needed in %s\n", needed / 1e9, parent.c_str());
      return 4;
    }
    write_checkpoint(folder, layers);
  }
  {
    const model::OpenedModel opened = model::open_model(folder);
    std::printf(
        "isa,activations,threads,tokens,layers,context,batch,seconds,tokens_per_second,tflops,"
        "percent_of_f32_peak,peak_gb,foretold_gb,read_gb,cpu_seconds\n");
    for (const Run& one : runs) measure(opened, one);
  }
  if (!keep) std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) { return karat::run(argc, argv); }
