#include "codec/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace karat::codec {
namespace {

TEST(Table, TheOneInUseIsOfTheChosenInstructionSet) {
  EXPECT_EQ(&table(), &table_for(simd::chosen()));
}

TEST(Table, FirstOutOfRangeIsTheFirstOfAnyKindAtAnyPlace) {
  const float bad[] = {std::nanf(""), std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(), 2.5F, -2.5F};
  for (const simd::Isa isa : simd::supported()) {
    const auto first = table_for(isa).first_out_of_range;
    for (const int64_t n : {0, 1, 15, 16, 17, 33}) {
      std::vector<float> x(static_cast<size_t>(n), -2.0F);
      EXPECT_EQ(first(x.data(), n, 2.0F), n) << simd::name_of(isa);
      for (size_t i = x.size(); i-- > 0;) {  // later ones stay: the first counts
        x[i] = bad[i % std::size(bad)];
        EXPECT_EQ(first(x.data(), n, 2.0F), static_cast<int64_t>(i)) << simd::name_of(isa);
      }
    }
  }
}

}  // namespace
}  // namespace karat::codec
