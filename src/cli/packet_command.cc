#include "cli/packet_command.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "calib/packet.h"
#include "calib/packet_builder.h"
#include "cli/load.h"
#include "kernels/dispatch.h"
#include "receipt/receipt.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;
using base::Json;
using base::printable;
using base::strf;

namespace {

void check_request(const PacketRequest& request) {
  const auto refuse = [](const std::string& problem) {
    throw fail(ErrorKind::usage, "calibrate --packet: %s", problem.c_str());
  };
  if (request.model.empty()) refuse("tokenizer and template are a model's; give it with -m");
  if (request.out.empty()) refuse("-o PACKET is missing: the packet to write");
  if (!request.others.empty()) {
    refuse(request.others.front() + " says how texts go through a model; give it with -f PACKET");
  }
  if (request.tokens > calib::kPacketTokensMax) {
    refuse(strf("--tokens: a packet has at most %lld",
                static_cast<long long>(calib::kPacketTokensMax)));
  }
}

// Every file that is going to be read.
std::vector<std::string> inputs_of(const calib::PacketRecipe& recipe,
                                   const model::OpenedModel& opened) {
  std::vector<std::string> inputs = opened.files;
  inputs.push_back(recipe.file);
  const auto add = [&](const std::string& path) {
    const std::vector<std::string> files = calib::list_files(recipe.path_of(path));
    inputs.insert(inputs.end(), files.begin(), files.end());
  };
  for (const auto& domain : recipe.domains) {
    for (const auto& source : domain.sources) add(source.path);
  }
  for (const auto& set : recipe.evaluations) add(set.path);
  return inputs;
}

std::string report_path(const std::string& out) { return out + ".report.json"; }

unsigned long long number_at(const Json& json, const char* key) {
  return static_cast<unsigned long long>(json.at(key).as_uint());
}

// Of the report what decides the packet's bytes or adds up to them.
receipt::Receipt receipt_of(const calib::BuiltPacket& built) {
  receipt::Receipt receipt;
  receipt.verb = "calibrate";
  for (const char* key : {"recipe", "tokenizer_sha256", "template_sha256", "seed", "context",
                          "tokens", "sequences"}) {
    receipt.options.set(key, built.report.at(key));
  }
  for (const Json& domain : built.report.at("domains").as_array()) {
    size_t number = 0;  // two sources may be of one path
    for (const Json& source : domain.at("sources").as_array()) {
      receipt.notes.emplace_back(
          strf("%s %zu: %s", domain.at("name").as_string().c_str(), ++number,
               source.at("path").as_string().c_str()),
          strf("%llu sequences, %llu tokens, %llu documents and %llu pieces removed",
               number_at(source, "sequences"), number_at(source, "tokens"),
               number_at(source, "removed"), number_at(source, "removed_pieces")));
    }
  }
  return receipt;
}

// Packet, report and receipt: all on the disk before the first gets its name.
void write_files(const std::string& out, const calib::BuiltPacket& built,
                 const receipt::Receipt& receipt, double seconds, int threads) {
  base::OutputFile packet(out), report(report_path(out));
  calib::write_packet(packet, built.packet);
  packet.sync();
  report.append(built.report.dump(1) + "\n");
  report.sync();
  const auto receipt_file = receipt::receipt_file(out, packet.partial_path(), receipt, seconds,
                                                  threads, kernels::table().name);
  packet.commit();
  report.commit();
  receipt_file->commit();
}

size_t count_at(const Json& json, const char* key) { return json.at(key).as_array().size(); }

}  // namespace

void make_packet(const PacketRequest& request, const Common& common) {
  check_request(request);
  const auto begin = std::chrono::steady_clock::now();
  calib::PacketRecipe recipe =
      calib::parse_packet_recipe(base::read_file(request.recipe), request.recipe);
  if (request.tokens > 0) recipe.tokens = request.tokens;
  if (common.seed != 0) recipe.seed = static_cast<uint64_t>(common.seed);
  const model::OpenedModel opened = model::open_model(request.model);
  const std::vector<std::string> inputs = inputs_of(recipe, opened);
  for (const std::string& file :
       {request.out, report_path(request.out), request.out + ".receipt.json"}) {
    base::check_output(file, {.force = common.force, .inputs = inputs});
  }
  base::ThreadPool pool(common.thread_count());
  const calib::BuiltPacket built =
      calib::build_packet(recipe, make_tokenizer(opened), opened.chat_template, pool);
  receipt::Receipt receipt = receipt_of(built);
  receipt.inputs = receipt::hash_inputs(built.inputs, pool);
  for (size_t i = 0; i < receipt.inputs.size(); ++i) receipt.inputs[i].name = built.input_names[i];
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  write_files(request.out, built, receipt, seconds.count(), pool.size());
  if (common.json) {
    Json json = built.report;
    json.set("output", request.out);
    print_json(std::move(json));
    return;
  }
  print(common.quiet ? request.out + "\n" : packet_text(request.out, built.report));
}

std::string packet_text(const std::string& out, const Json& report) {
  std::string text =
      strf("%s: %llu tokens in %llu sequences, seed %llu\n", printable(out).c_str(),
           number_at(report, "tokens"), number_at(report, "sequences"), number_at(report, "seed"));
  for (const Json& domain : report.at("domains").as_array()) {
    text += strf("  %-16s %10llu tokens %7llu sequences\n",
                 printable(domain.at("name").as_string()).c_str(), number_at(domain, "tokens"),
                 number_at(domain, "sequences"));
    for (const Json& source : domain.at("sources").as_array()) {
      text += strf(
          "    %-30s %10llu tokens %7llu sequences of %llu documents; %llu and %llu pieces "
          "removed, %llu too long, %llu twice, %llu unused\n",
          printable(source.at("path").as_string()).c_str(), number_at(source, "tokens"),
          number_at(source, "sequences"), number_at(source, "documents"),
          number_at(source, "removed"), number_at(source, "removed_pieces"),
          number_at(source, "left_out"), number_at(source, "duplicates"),
          number_at(source, "unused"));
    }
  }
  for (const Json& set : report.at("evaluations").as_array()) {
    int64_t removed = 0;
    for (const Json& item : report.at("removed").as_array()) {
      removed += item.at("evaluation") == set.at("name") ? 1 : 0;
    }
    text += strf("  held against %-16s %llu items, %llu of them too short; %lld removed\n",
                 printable(set.at("name").as_string()).c_str(), number_at(set, "items"),
                 number_at(set, "items_too_short"), static_cast<long long>(removed));
  }
  return text + strf("  %zu texts cut short; %s says what was removed and why\n",
                     count_at(report, "cut_short"), printable(report_path(out)).c_str());
}

std::optional<calib::Corpus> packet_corpus(const std::vector<std::string>& files,
                                           const model::OpenedModel& opened, const PacketUse& use,
                                           const Common& common) {
  if (std::none_of(files.begin(), files.end(), calib::is_packet)) return {};
  if (files.size() > 1) {
    throw fail(ErrorKind::usage, "calibrate: a packet (-f %s) goes alone",
               printable(*std::find_if(files.begin(), files.end(), calib::is_packet)).c_str());
  }
  if (use.chunks_max >= 0) {
    throw fail(ErrorKind::usage, "--chunks: a packet has sequences; give --tokens");
  }
  const text::Tokenizer tokenizer = make_tokenizer(opened);
  return calib::corpus_of(calib::read_packet(files[0]), files[0], tokenizer.spec(),
                          {use.tokens, static_cast<uint64_t>(common.seed)}, use.chunk_size);
}

}  // namespace karat::cli
