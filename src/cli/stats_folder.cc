#include "cli/stats_folder.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace karat::cli {

namespace {

constexpr const char* kRouting = "/routing.safetensors";
constexpr const char* kOutliers = "/outliers.json";
constexpr const char* kText = "/text.packet";
constexpr const char* kHessians = "/hessians.json";

}  // namespace

std::string stats_imatrix(const std::string& folder) { return folder + "/imatrix.gguf"; }
std::string stats_routing(const std::string& folder) { return folder + kRouting; }
std::string stats_text(const std::string& folder) { return folder + kText; }
std::string stats_hessians(const std::string& folder) { return folder + kHessians; }

StatsFolder::StatsFolder(std::string path, bool force, const std::vector<std::string>& inputs)
    : path_(std::move(path)) {
  while (path_.size() > 1 && base::ends_with(path_, "/")) path_.pop_back();
  if (!base::is_directory(path_)) {
    // A file of that name is refused whatever --force says: nobody gives a folder's name to it.
    base::check_output(path_, {.force = false, .inputs = inputs});
    std::error_code error;
    std::filesystem::create_directory(path_, error);
    if (error) {
      throw base::fail(base::ErrorKind::io, "%s: %s", base::printable(path_).c_str(),
                       error.message().c_str());
    }
  }
  base::check_output(imatrix_path(), {.force = force, .inputs = inputs});
  // The imatrix is written last: without it the others are what a stopped run left.
  const bool replace = force || !base::file_exists(imatrix_path());
  for (const char* file : {kRouting, kOutliers, kText, kHessians}) {
    base::check_output(path_ + file, {.force = replace, .inputs = inputs});
  }
}

StatsFolder::~StatsFolder() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);  // fails unless it is empty
}

void StatsFolder::begin(const model::Config& config, base::ThreadPool& pool) {
  routing_.emplace(config.experts, config.experts_used);
  outliers_.emplace(config.experts, pool);
}

std::vector<calib::KeptTap*> StatsFolder::taps() { return {&*routing_, &*outliers_}; }

void StatsFolder::write() const {
  calib::write_routing(path_ + kRouting, routing_->routing());
  if (text_) {
    base::OutputFile file(path_ + kText);
    calib::write_packet(file, *text_);
    file.commit();
  }
  std::error_code ignored;
  std::filesystem::remove(path_ + kHessians, ignored);  // an earlier run's
  if (with_hessians_) {
    base::Json hessians = base::Json::object();
    hessians.set("schema", 1);
    hessians.set("text", std::string(kText + 1));
    base::write_file(path_ + kHessians, hessians.dump() + "\n");
  }
  base::write_file(path_ + kOutliers, calib::outliers_json(outliers_->layers()).dump() + "\n");
}

std::string StatsFolder::text() const {
  return calib::routing_text(routing_->routing()) + calib::outliers_text(outliers_->layers());
}

base::Json StatsFolder::super_experts_json() const {
  return calib::outliers_json(outliers_->layers()).at("super_experts");
}

}  // namespace karat::cli
