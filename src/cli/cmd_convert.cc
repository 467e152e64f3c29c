#include <chrono>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/command.h"
#include "export/convert.h"
#include "kernels/dispatch.h"
#include "receipt/receipt.h"

namespace karat::cli {

using base::both_units;
using base::Json;
using base::printable;
using base::strf;
using exporting::ConvertedFile;
using exporting::OutType;

namespace {

class Convert : public Command {
 public:
  std::string verb() const override { return "convert"; }
  std::string summary() const override { return "Hugging Face checkpoint -> GGUF"; }
  std::string usage() const override { return "HF_DIR -o OUT.gguf [options]"; }

  void declare(Options& options) override {
    options.text("HF_DIR", "HF_DIR", folder_, "folder with config.json and safetensors files")
        .required = true;
    options.text("-o,--output", "OUT.gguf", options_.output, "file of the language model");
    options.choice("--outtype", {"auto", "bf16", "f16", "f32", "q8_0"}, type_,
                   "type of the matrices; auto keeps the checkpoint's");
    options.flag("--no-mtp", no_mtp_, "leave the MTP block out");
    options.flag("--mtp-only", mtp_only_, "only embedding, head and MTP block: a draft file");
    options.flag("--fuse-gate-up-exps", fuse_, "gate and up of the experts as one tensor");
    options.text("--mmproj", "OUT", options_.vision_output, "write the vision tower to this file");
    options.bytes("--split-max-size", "SIZE", options_.shard_bytes_max,
                  "split the output into files of at most this size");
    options.flag("--no-receipt", no_receipt_, "write no OUT.receipt.json");
  }

  void run(const Common& common) override {
    if (no_mtp_ && mtp_only_) {
      throw base::fail(base::ErrorKind::usage, "--no-mtp and --mtp-only exclude each other");
    }
    options_.type = out_type();
    options_.mtp = no_mtp_     ? exporting::MtpPart::drop
                   : mtp_only_ ? exporting::MtpPart::only
                               : exporting::MtpPart::keep;
    options_.gate_up = fuse_ ? model::GateUp::fused : model::GateUp::split;
    options_.force = common.force;
    options_.memory_max = common.mem_limit;
    const auto begin = std::chrono::steady_clock::now();
    base::ThreadPool pool(common.thread_count());
    std::vector<std::unique_ptr<base::OutputFile>> receipts;
    if (!no_receipt_) {
      for (const std::string* out : {&options_.output, &options_.vision_output}) {
        if (!out->empty()) base::check_output(*out + ".receipt.json", {.force = true});
      }
      options_.before_commit = [&](const std::vector<std::string>& inputs,
                                   const ConvertedFile& file,
                                   const std::vector<std::string>& written) {
        const std::chrono::duration<double> so_far = std::chrono::steady_clock::now() - begin;
        receipts.push_back(receipt(inputs, file, written,
                                   {so_far.count(), pool.size(), kernels::table().name}, pool));
      };
    }
    const auto files = exporting::convert_checkpoint(folder_, options_, pool);
    for (const auto& file : receipts) file->commit();
    for (const std::string* out : {&options_.output, &options_.vision_output}) {
      if (no_receipt_ && !out->empty()) receipt::drop_receipt(*out);
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (common.json) {
      print_json(json(files, seconds));
    } else if (common.quiet) {
      print(paths(files));
    } else {
      print(text(files, seconds));
    }
  }

 private:
  OutType out_type() const {
    if (type_ == "f32") return OutType::f32;
    if (type_ == "f16") return OutType::f16;
    if (type_ == "bf16") return OutType::bf16;
    if (type_ == "q8_0") return OutType::q8_0;
    return OutType::automatic;
  }

  std::unique_ptr<base::OutputFile> receipt(const std::vector<std::string>& inputs,
                                            const ConvertedFile& file,
                                            const std::vector<std::string>& written,
                                            const receipt::Circumstances& circumstances,
                                            base::ThreadPool& pool) {
    if (hashed_.empty()) hashed_ = receipt::hash_inputs(inputs, pool);
    receipt::Receipt receipt;
    receipt.verb = verb();
    receipt.inputs = hashed_;
    receipt.options.set("outtype", file.type);
    if (no_mtp_) receipt.options.set("no_mtp", true);
    if (mtp_only_) receipt.options.set("mtp_only", true);
    if (fuse_) receipt.options.set("fuse_gate_up_exps", true);
    for (const std::string& name : file.fallbacks) receipt.notes.emplace_back(name, "f16");
    std::vector<receipt::Output> outputs;
    for (size_t i = 0; i < written.size(); ++i) outputs.push_back({file.paths[i], written[i]});
    const bool vision = file.paths.front() == options_.vision_output;
    return receipt::receipt_file(vision ? options_.vision_output : options_.output, outputs,
                                 receipt, circumstances);
  }

  static std::string paths(const std::vector<ConvertedFile>& files) {
    std::string out;
    for (const ConvertedFile& file : files) {
      for (const std::string& path : file.paths) out += printable(path) + "\n";
    }
    return out;
  }

  static std::string text(const std::vector<ConvertedFile>& files, double seconds) {
    std::string out;
    for (const ConvertedFile& file : files) {
      for (const std::string& path : file.paths) out += printable(path) + "\n";
      out += strf("  %lld tensors, %lld parameters, %s, %s\n", static_cast<long long>(file.tensors),
                  static_cast<long long>(file.params), file.type.c_str(),
                  both_units(file.bytes).c_str());
    }
    return out + strf("  %.1f s\n", seconds);
  }

  static Json json(const std::vector<ConvertedFile>& files, double seconds) {
    const auto strings = [](const std::vector<std::string>& values) {
      return Json(Json::Array(values.begin(), values.end()));
    };
    Json rows = Json::array();
    for (const ConvertedFile& file : files) {
      Json row = Json::object();
      row.set("paths", strings(file.paths));
      row.set("tensors", file.tensors);
      row.set("params", file.params);
      row.set("bytes", file.bytes);
      row.set("type", file.type);
      row.set("fallbacks", strings(file.fallbacks));
      rows.push(std::move(row));
    }
    Json out = Json::object();
    out.set("files", std::move(rows));
    out.set("seconds", seconds);
    return out;
  }

  std::string folder_, type_ = "auto";
  exporting::ConvertOptions options_;
  bool no_mtp_ = false, mtp_only_ = false, fuse_ = false, no_receipt_ = false;
  std::vector<receipt::Input> hashed_;  // the checkpoint's files, once for all receipts
};

}  // namespace

std::unique_ptr<Command> make_convert() { return std::make_unique<Convert>(); }

}  // namespace karat::cli
