#include "recipe/gains.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "model/names.h"
#include "recipe/noisy_source.h"

namespace karat::recipe {

namespace {

constexpr double kExponentMin = 0.4, kExponentMax = 1;
// Divergences are at least this, so that a site without any effect has a finite logarithm.
constexpr double kDivergenceMin = 1e-12;

struct Kind {
  std::vector<const tensor::TensorInfo*> tensors;  // by layer
  int64_t elements = 0;
  int64_t sites = 1;
  // The square root lets small kinds be seen, too.
  double weight() const {
    return std::sqrt(static_cast<double>(elements)) / static_cast<double>(sites);
  }
};

int64_t first_layer_of(const std::string& name, const model::Config& config) {
  if (name == model::kOutput) return config.layers();
  return model::layer_of(name);  // -1 for the embedding
}

// The mean divergence with noise on some tensors.
double noisy_divergence(CachedProbe& probe, const tensor::TensorSource& source,
                        const std::vector<std::string>& tensors, int64_t first_layer,
                        double amplitude, uint64_t seed) {
  std::string names;
  std::map<std::string, double> amplitudes;
  for (const std::string& name : tensors) {
    names += name + " ";
    amplitudes[name] = amplitude;
  }
  return probe.mean_divergence({{"noise", base::strf("%.9g", amplitude)},
                                {"tensors", names},
                                {"seed", std::to_string(seed)}},
                               NoisySource(source, std::move(amplitudes), seed), first_layer);
}

}  // namespace

std::string kind_of(const std::string& name) {
  size_t begin = 0, end = name.size();
  if (model::layer_of(name) >= 0) begin = name.find('.', 4) + 1;
  if (base::ends_with(name, ".weight")) end -= 7;
  return name.substr(begin, end - begin);
}

std::vector<Site> make_sites(const tensor::TensorSource& source, const model::Config& config,
                             const std::vector<size_t>& tensors, int64_t sites_max) {
  std::map<std::string, Kind> kinds;
  for (const size_t index : tensors) {
    const tensor::TensorInfo& info = source.tensors()[index];
    if (model::layer_of(info.name) >= config.layers()) continue;  // MTP
    Kind& kind = kinds[kind_of(info.name)];
    kind.tensors.push_back(&info);
    kind.elements += info.shape.elements();
  }
  for (auto count = static_cast<int64_t>(kinds.size()); count < sites_max; ++count) {
    Kind* widest = nullptr;
    for (auto& [name, kind] : kinds) {
      if (kind.sites == static_cast<int64_t>(kind.tensors.size())) continue;
      if (widest == nullptr || kind.weight() > widest->weight()) widest = &kind;
    }
    if (widest == nullptr) break;
    ++widest->sites;
  }
  std::vector<Site> sites;
  for (auto& [name, kind] : kinds) {
    std::sort(kind.tensors.begin(), kind.tensors.end(), [](const auto* a, const auto* b) {
      return model::layer_of(a->name) < model::layer_of(b->name);
    });
    const auto count = static_cast<int64_t>(kind.tensors.size());
    for (int64_t i = 0; i < kind.sites; ++i) {
      Site site{name, {}, 0};
      for (int64_t t = i * count / kind.sites; t < (i + 1) * count / kind.sites; ++t) {
        site.tensors.push_back(kind.tensors[static_cast<size_t>(t)]->name);
      }
      site.first_layer = first_layer_of(site.tensors[0], config);
      sites.push_back(std::move(site));
    }
  }
  return sites;
}

double fit_exponent(const std::vector<std::vector<double>>& parts,
                    const std::vector<double>& whole) {
  const auto residual = [&](double exponent) {
    double squares = 0;
    for (size_t a = 0; a < whole.size(); ++a) {
      double sum = 0;
      for (const double part : parts[a]) sum += std::pow(part, 1 / exponent);
      const double log_ratio = exponent * std::log(sum) - std::log(whole[a]);
      squares += log_ratio * log_ratio;
    }
    return squares;
  };
  double best = kExponentMax;
  for (double exponent = kExponentMin; exponent < kExponentMax; exponent += 0.005) {
    if (residual(exponent) < residual(best)) best = exponent;
  }
  return best;
}

Gains measure_gains(const tensor::TensorSource& source, const model::Config& config,
                    const std::vector<Site>& sites, const std::map<std::string, double>& noise,
                    const ProbeText& text, const std::string& model, const GainOptions& options,
                    const PlanCache& cache, base::ThreadPool& pool) {
  CachedProbe probe(source, config, text, model, cache, pool);
  const auto divergence = [&](const std::vector<std::string>& tensors, int64_t first_layer,
                              double amplitude) {
    const double kld =
        noisy_divergence(probe, source, tensors, first_layer, amplitude, options.seed);
    return std::max(kld, kDivergenceMin);
  };
  base::Progress progress("gains", "passes",
                          static_cast<double>(options.amplitudes.size() * (sites.size() + 1)));
  std::vector<std::string> all;
  for (const Site& site : sites) {
    all.insert(all.end(), site.tensors.begin(), site.tensors.end());
  }
  std::vector<std::vector<double>> parts;
  std::vector<double> whole;
  for (const double amplitude : options.amplitudes) {
    std::vector<double> of_sites;
    for (const Site& site : sites) {
      of_sites.push_back(divergence(site.tensors, site.first_layer, amplitude));
      progress.add(1, site.kind);
    }
    parts.push_back(std::move(of_sites));
    whole.push_back(divergence(all, -1, amplitude));
    progress.add(1, "all");
  }
  Gains gains;
  gains.exponent = fit_exponent(parts, whole);
  for (size_t s = 0; s < sites.size(); ++s) {
    double errors = 0, log_gain = 0;
    for (const std::string& name : sites[s].tensors) errors += noise.at(name);
    for (size_t a = 0; a < whole.size(); ++a) {
      const double amplitude = options.amplitudes[a];
      log_gain += std::log(parts[a][s]) / gains.exponent -
                  std::log(amplitude * amplitude * std::max(errors, kDivergenceMin));
      base::verbose("gain of %s from block %lld at %g: KLD %.6g", sites[s].kind.c_str(),
                    static_cast<long long>(sites[s].first_layer), amplitude, parts[a][s]);
    }
    const double gain = std::exp(log_gain / static_cast<double>(whole.size()));
    for (const std::string& name : sites[s].tensors) gains.of[name] = gain;
  }
  for (size_t a = 0; a < whole.size(); ++a) {
    base::verbose("gain of all at %g: KLD %.6g, the sites' sum %.6g", options.amplitudes[a],
                  whole[a], std::accumulate(parts[a].begin(), parts[a].end(), 0.0));
  }
  return gains;
}

}  // namespace karat::recipe
