// OUT of calibrate as a folder: the imatrix, and what else the same pass shows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "calib/outliers.h"
#include "calib/packet.h"
#include "calib/routing.h"
#include "model/config.h"

namespace karat::cli {

// The files of such a folder, by its path.
std::string stats_imatrix(const std::string& folder);
std::string stats_routing(const std::string& folder);
std::string stats_text(const std::string& folder);
std::string stats_hessians(const std::string& folder);

class StatsFolder {
 public:
  // Makes the folder. Errors as base::check_output of each file in it. The imatrix comes last, so a
  // folder without one is what a run that was stopped left: its files are replaced.
  StatsFolder(std::string path, bool force, const std::vector<std::string>& inputs);
  // Removes the folder if nothing is in it.
  ~StatsFolder();
  StatsFolder(const StatsFolder&) = delete;
  StatsFolder& operator=(const StatsFolder&) = delete;

  std::string imatrix_path() const { return stats_imatrix(path_); }
  void begin(const model::Config& config, base::ThreadPool& pool);
  std::vector<calib::KeptTap*> taps();  // after begin()

  // text.packet: what went through the model.
  void keep_text(calib::Packet text) { text_ = std::move(text); }
  // hessians.json: quantize is to encode with the full Hessians of that text.
  void want_hessians() { with_hessians_ = true; }
  // routing.safetensors, outliers.json, the text and hessians.json; the imatrix is the caller's,
  // and comes after them.
  void write() const;
  std::string text() const;
  base::Json super_experts_json() const;

 private:
  std::string path_;
  std::optional<calib::RoutingTap> routing_;
  std::optional<calib::OutlierTap> outliers_;
  std::optional<calib::Packet> text_;
  bool with_hessians_ = false;
};

}  // namespace karat::cli
