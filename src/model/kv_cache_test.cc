#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "kernels/dispatch.h"

namespace karat::model {
namespace {

using tensor::DType;

TEST(CacheRows, KeepsFloatsAndCuts) {
  CacheRows rows(DType::f32, 4, 2);
  rows.resize(2);
  const float first[] = {1, 2, 3, 4}, second[] = {5, 6, 7, 8};
  rows.set(0, first);
  rows.set(1, second);
  EXPECT_EQ(rows.values(), (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
  float head[2];
  rows.read(kernels::table(), 1, 1, 2, 2, head);
  EXPECT_EQ(head[0], 7.0F);
  EXPECT_EQ(head[1], 8.0F);
  rows.resize(1);
  EXPECT_EQ(rows.values(), std::vector<float>(first, first + 4));
}

TEST(CacheRows, DecodesColumnsOfCompressedRows) {
  CacheRows rows(DType::q8_0, 64, 32);
  rows.resize(3);
  std::vector<float> values(64);
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 64; ++c) {
      values[static_cast<size_t>(c)] = static_cast<float>((c + 1) * (r + 1));
    }
    rows.set(r, values.data());
  }
  std::vector<float> heads(2 * 32);
  rows.read(kernels::table(), 1, 2, 32, 32, heads.data());
  // Half a step of 8 bits: the largest magnitude / 127 / 2, and the half-precision scale.
  EXPECT_NEAR(heads[0], 66, 128.0 / 127 / 2 * 1.01);
  EXPECT_NEAR(heads[32 + 31], 192, 192.0 / 127 / 2 * 1.01);
  EXPECT_EQ(rows.values()[static_cast<size_t>(64 + 32)], heads[0]);
}

TEST(CacheRows, WhatATypeCannotHoldBecomesNan) {
  for (const DType type : {DType::f16, DType::bf16, DType::q8_0}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      CacheRows rows(type, 64, 32);
      rows.resize(2);
      std::vector<float> values(64, 1.0F);
      rows.set(0, values.data());
      values[40] = bad;
      rows.set(1, values.data());
      const std::vector<float> kept = rows.values();
      for (size_t i = 0; i < 64; ++i) {
        EXPECT_NEAR(kept[i], 1.0F, 0.01F);
        EXPECT_TRUE(std::isnan(kept[64 + i])) << i;
      }
    }
  }
}

TEST(CacheRows, SizesAreTheFormats) {
  EXPECT_EQ(CacheRows::row_bytes(DType::f32, 512), 2048);
  EXPECT_EQ(CacheRows::row_bytes(DType::f16, 512), 1024);
  EXPECT_EQ(CacheRows::row_bytes(DType::q8_0, 512), 544);
}

TEST(CacheRows, RefusesHeadsThatAreNotWholeBlocks) {
  try {
    const CacheRows rows(DType::q8_0, 48, 24);
    FAIL() << "accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("q8_0"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace karat::model
