// Reads this very program's machine code: instructions of an instruction set may occur only in the
// functions of its namespace, so that the baseline machine never meets them, however the linker
// chose among copies of shared inline functions.
#include "simd/isa.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "kernels/dispatch.h"

namespace karat::kernels {
namespace {

// Highest vector extension a line of disassembly needs: 0 baseline, 1 AVX and its kin, 2 AVX-512, 3
// AVX512_BF16.
int level_of(std::string_view line) {
  const size_t tab = line.find('\t');
  if (tab == std::string_view::npos) return 0;
  const std::string_view instruction = line.substr(tab + 1);
  const auto mentions = [&](std::string_view word) {
    return instruction.find(word) != std::string_view::npos;
  };
  if (mentions("vdpbf16ps")) return 3;
  if (mentions("%zmm") || mentions("%k1") || mentions("%k2") || mentions("%xmm16")) return 2;
  // Every VEX-encoded instruction starts with v, as does nothing of the baseline but verr and verw.
  if (mentions("%ymm") || (!instruction.empty() && instruction[0] == 'v')) return 1;
  return 0;
}

struct Machine {
  std::map<std::string, int> level;  // per function
  int64_t lines = 0;
};

// Nothing if there is no objdump.
std::unique_ptr<Machine> disassemble(const std::string& path) {
  const std::string command = "objdump -dC --no-show-raw-insn '" + path + "' 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  if (!pipe) return nullptr;
  auto machine = std::make_unique<Machine>();
  std::array<char, 8192> buffer;
  std::string function;
  while (std::fgets(buffer.data(), buffer.size(), pipe.get()) != nullptr) {
    const std::string_view line = buffer.data();
    ++machine->lines;
    const size_t open = line.find(" <");
    if (line.size() > 17 && line[0] == '0' && open == 16) {
      function = std::string(line.substr(open + 2));
      machine->level[function] = 0;
    } else if (!function.empty()) {
      int& level = machine->level[function];
      level = std::max(level, level_of(line));
    }
  }
  if (machine->level.empty()) return nullptr;
  return machine;
}

TEST(Regions, NoInstructionOutsideItsNamespace) {
  ASSERT_FALSE(supported_tables().empty());
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  ASSERT_GT(length, 0);
  const auto machine = disassemble(std::string(self, static_cast<size_t>(length)));
  if (machine == nullptr) GTEST_SKIP() << "objdump is not installed";
  int counts[4] = {};
  for (const auto& [function, level] : machine->level) {
    const bool avx512 = function.find("::avx512::") != std::string::npos;
    const bool avx2 = function.find("::avx2::") != std::string::npos;
    const bool bf16 = function.find("::avx512_bf16::") != std::string::npos;
    const int allowed = bf16 ? 3 : avx512 ? 2 : avx2 ? 1 : 0;
    EXPECT_LE(level, allowed) << function;
    ++counts[level];
  }
  // The check would be empty if the names or the instructions were not recognised.
  EXPECT_GT(counts[1], 20);
  EXPECT_GT(counts[2], 20);
  EXPECT_GT(counts[3], 2);
}

TEST(Regions, TheReaderRecognisesInstructions) {
  EXPECT_EQ(level_of("  4011d6:\tvdpbf16ps %zmm0,%zmm1,%zmm1"), 3);
  EXPECT_EQ(level_of("  4011d6:\tvaddps %zmm0,%zmm1,%zmm1"), 2);
  EXPECT_EQ(level_of("  4011d6:\tvaddps %ymm0,%ymm1,%ymm1"), 1);
  EXPECT_EQ(level_of("  4011d6:\tvmovss (%rax),%xmm0"), 1);
  EXPECT_EQ(level_of("  4011d6:\taddps %xmm0,%xmm1"), 0);
}

}  // namespace
}  // namespace karat::kernels
