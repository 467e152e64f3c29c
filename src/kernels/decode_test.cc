#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "codec/codec.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"

namespace karat::kernels {
namespace {

using test::Buffer;
using test::Floats;

TEST(Decode, SameBitsAsTheCodecOnRandomBlocks) {
  base::Rng rng(61);
  for (const codec::Codec* codec : codec::codecs()) {
    for (const int64_t blocks : {1, 2, 7, 16, 33}) {
      const int64_t n = blocks * codec->block_elems();
      Buffer<uint8_t> bytes(tensor::row_bytes(codec->type(), n),
                            static_cast<int64_t>(rng.below(8)));
      for (int64_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(rng.next());
      const auto* source = reinterpret_cast<const std::byte*>(bytes.data());
      Floats expected(n);
      codec->decode({source, static_cast<size_t>(bytes.size())},
                    {expected.data(), static_cast<size_t>(n)});
      for (const KernelTable* t : supported_tables()) {
        Floats out(n, static_cast<int64_t>(rng.below(4)));
        t->decode(codec->type(), source, n, out.data());
        EXPECT_TRUE(out.intact()) << t->name;
        EXPECT_TRUE(test::same_bits(out, expected))
            << t->name << " " << codec->info().name << " " << blocks;
      }
    }
  }
}

// All 65,536 patterns of the two half formats; NaNs by their exact bits as well.
TEST(Decode, EveryHalf) {
  std::vector<uint16_t> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  const auto* source = reinterpret_cast<const std::byte*>(halves.data());
  for (const tensor::DType type : {tensor::DType::f16, tensor::DType::bf16}) {
    std::vector<float> expected(65536);
    codec::codec_for(type).decode({source, 131072}, expected);
    for (const KernelTable* t : supported_tables()) {
      std::vector<float> out(65536);
      t->decode(type, source, 65536, out.data());
      EXPECT_EQ(std::memcmp(out.data(), expected.data(), 4 * out.size()), 0) << t->name;
    }
  }
}

TEST(Decode, NothingToDo) {
  for (const KernelTable* t : supported_tables()) {
    float canary = 3;
    for (const codec::Codec* codec : codec::codecs()) t->decode(codec->type(), nullptr, 0, &canary);
    EXPECT_EQ(canary, 3.0F) << t->name;
  }
}

}  // namespace
}  // namespace karat::kernels
