// How the kernels use the vectors of simd/vec_avx512.h: see tile_scalar.inl.h.

constexpr int kTileRows = 6;
constexpr int kTileCols = 4;
constexpr int64_t kDepth = 2048;
constexpr int64_t kCopyRows = 64;
constexpr int tile_cols(int rows) { return rows == 1 ? 8 : 4; }
constexpr bool whole_tile(int) { return true; }
constexpr int kPanel = 4;
constexpr int kPanelRows = 4;
constexpr int kDeltaPanel = 2;

struct Whole;
using Part = Whole;
