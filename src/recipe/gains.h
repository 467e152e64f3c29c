// What an error in a tensor costs the model: noise of a known size is put on the tensors of one
// site after the other, and the divergence from the original is measured. With
//   KLD = F(sum over tensors of gain * error),   F(u) = u^exponent,
// the exponent is where the sites' divergences, taken back through F, add up to those of noise on
// all sites at once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "recipe/plan_cache.h"
#include "recipe/probe.h"

namespace karat::recipe {

// Tensors that share a gain: those of one kind, in blocks that follow each other.
struct Site {
  std::string kind;                  // "ffn_down_exps", "token_embd"
  std::vector<std::string> tensors;  // by layer
  int64_t first_layer = 0;           // Probe::divergence()'s
};

// The kind of a tensor: its name without block and ".weight".
std::string kind_of(const std::string& name);

// Cuts the tensors (of the trunk) into at most `sites_max` sites, or one per kind if that is more:
// the more weights a kind has, the more sites.
std::vector<Site> make_sites(const tensor::TensorSource& source, const model::Config& config,
                             const std::vector<size_t>& tensors, int64_t sites_max);

struct GainOptions {
  std::vector<double> amplitudes;  // of the noise, relative to the weights
  uint64_t seed = 0;
};

struct Gains {
  double exponent = 1;
  std::map<std::string, double> of;  // by tensor
};

// `noise`: by tensor, the relative error that noise of amplitude 1 is (TensorErrors::noise). Each
// measurement is kept in the cache under `model` (an identity), text, tensors, amplitude and seed.
Gains measure_gains(const tensor::TensorSource& source, const model::Config& config,
                    const std::vector<Site>& sites, const std::map<std::string, double>& noise,
                    const ProbeText& text, const std::string& model, const GainOptions& options,
                    const PlanCache& cache, base::ThreadPool& pool);

// The exponent with which parts^(1 / exponent) add up to whole^(1 / exponent) over all amplitudes
// at best, in the sense of least squares of logarithms; from 0.4 to 1. [amplitudes][sites],
// [amplitudes].
double fit_exponent(const std::vector<std::vector<double>>& parts,
                    const std::vector<double>& whole);

}  // namespace karat::recipe
