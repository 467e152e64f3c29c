#include <memory>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "calib/packet.h"
#include "cli/command.h"
#include "cli/verify_report.h"
#include "format/gguf.h"
#include "format/imatrix.h"
#include "format/safetensors.h"
#include "model/open.h"

namespace karat::cli {

namespace {

constexpr const char* kArchitecture = "qwen35moe";

class Verify : public Command {
 public:
  std::string verb() const override { return "verify"; }
  std::string summary() const override { return "is a file whole, sound and what it claims"; }
  std::string usage() const override { return "FILE [--receipt FILE] [--inputs DIR]"; }

  void declare(Options& options) override {
    options
        .text(
            "FILE", "", path_,
            "GGUF file (the first of several shards), imatrix, calibration packet, or safetensors "
            "file or folder")
        .required = true;
    options.text("--receipt", "FILE", receipt_, "the receipt (default FILE.receipt.json if there)");
    options.text("--inputs", "DIR", inputs_, "also hash the inputs that the receipt names");
  }

  void run(const Common& common) override {
    base::ThreadPool pool(common.thread_count());
    result_.path = path_;
    check_file(pool);
    check_receipt(pool);
    if (common.json) {
      print_json(verification_json(result_));
    } else {
      print(verification_text(result_));
    }
    refuse_faults(result_);
  }

 private:
  void check_file(base::ThreadPool& pool) {
    if (calib::is_packet(path_)) {
      calib::read_packet(path_);
      files_ = {path_};
      describe("calibration packet", format::SafetensorsSource(path_).tensors());
      return;
    }
    if (base::is_directory(path_) || base::ends_with(path_, ".safetensors") ||
        base::ends_with(path_, ".safetensors.index.json")) {
      const format::SafetensorsSource source(path_);
      if (base::file_exists(path_ + "/config.json")) model::open_model(path_);
      check_tensors(source, "safetensors", source.files(), pool);
      for (const auto& foreign : source.foreign()) {
        result_.values.unknown_types.insert(foreign.dtype);
      }
      return;
    }
    if (format::is_imatrix_dat(path_)) {
      files_ = {path_};
      describe("imatrix", {});
      result_.tensors = static_cast<int64_t>(format::read_imatrix(path_).entries.size());
      return;
    }
    const format::GgufSource source(path_);
    metadata_ = source.metadata();
    if (metadata_.get_string("general.type", "") == "imatrix") {
      // Its figures may be NaN where they are undefined; the reader knows which must not be.
      format::read_imatrix(path_);
      files_ = source.files();
      describe("imatrix", source.tensors());
      return;
    }
    if (metadata_.get_string("general.architecture", "") == kArchitecture) {
      model::open_model(path_);
    }
    check_tensors(source, "GGUF", source.files(), pool);
  }

  void check_tensors(const tensor::TensorSource& source, const char* format,
                     const std::vector<std::string>& files, base::ThreadPool& pool) {
    files_ = files;
    describe(format, source.tensors());
    result_.values = exporting::validate_tensors(source, pool);
  }

  void describe(const char* format, const std::vector<tensor::TensorInfo>& tensors) {
    result_.format = format;
    result_.tensors = static_cast<int64_t>(tensors.size());
    for (const tensor::TensorInfo& tensor : tensors) result_.params += tensor.shape.elements();
    for (const std::string& file : files_) result_.file_bytes += base::File(file).size();
  }

  // The karat.* keys of the file.
  std::vector<std::pair<std::string, std::string>> entries() const {
    std::vector<std::pair<std::string, std::string>> found;
    for (const format::Metadata::Entry& entry : metadata_.entries()) {
      const auto* text = std::get_if<std::string>(&entry.value.data());
      if (base::starts_with(entry.key, "karat.") && text != nullptr) {
        found.emplace_back(entry.key, *text);
      }
    }
    return found;
  }

  // The name that was given to the writer: that of shards has their numbers.
  std::string default_receipt() const {
    const std::string suffix = format::shard_path("", 0, files_.size());
    const bool shards = files_.size() > 1 && base::ends_with(path_, suffix);
    const std::string out =
        shards ? path_.substr(0, path_.size() - suffix.size()) + ".gguf" : path_;
    return base::file_exists(out + ".receipt.json") ? out + ".receipt.json" : "";
  }

  void check_receipt(base::ThreadPool& pool) {
    result_.receipt = receipt_.empty() ? default_receipt() : receipt_;
    result_.inputs_asked = !inputs_.empty();
    const auto stored = entries();
    std::vector<receipt::Input> inputs = receipt::parse_inputs(
        metadata_.has("karat.inputs") ? metadata_.get_string("karat.inputs") : "");
    if (!result_.receipt.empty()) {
      const receipt::ReceiptFile receipt = receipt::read_receipt(result_.receipt);
      result_.receipt_faults = receipt::check_outputs(receipt, files_, pool);
      if (!stored.empty()) {
        const std::vector<std::string> faults = receipt::check_entries(receipt, stored);
        result_.receipt_faults.insert(result_.receipt_faults.end(), faults.begin(), faults.end());
      }
      inputs = receipt.receipt.inputs;
    }
    if (!result_.inputs_asked) return;
    if (inputs.empty()) {
      throw base::fail(base::ErrorKind::usage,
                       "--inputs %s: %s names no inputs and has no receipt beside it",
                       base::printable(inputs_).c_str(), base::printable(path_).c_str());
    }
    if (!base::is_directory(inputs_)) {
      throw base::fail(base::ErrorKind::bad_input, "--inputs %s: is no folder",
                       base::printable(inputs_).c_str());
    }
    result_.inputs = receipt::check_inputs(inputs, inputs_, pool);
    if (result_.inputs.matching == 0 && result_.inputs.faults.empty()) {
      result_.inputs.faults.push_back(base::printable(inputs_) + " has none of the inputs");
    }
  }

  std::string path_, receipt_, inputs_;
  std::vector<std::string> files_;
  format::Metadata metadata_;
  Verification result_;
};

}  // namespace

std::unique_ptr<Command> make_verify() { return std::make_unique<Verify>(); }

}  // namespace karat::cli
