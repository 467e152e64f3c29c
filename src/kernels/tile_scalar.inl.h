// How the kernels use the vectors of simd/vec_scalar.h; the other tile_*.inl.h give the same names.

// The matrix product: its register tile (rows of x by rows of w); the block of k that a copy of w
// covers; the rows from which copying w pays; the columns of a tile when all rows fit one; and
// whether that tile holds whole vectors.
constexpr int kTileRows = 1;
constexpr int kTileCols = 1;
constexpr int64_t kDepth = 512;
constexpr int64_t kCopyRows = 2;
constexpr int tile_cols(int) { return 1; }
constexpr bool whole_tile(int) { return true; }
// Tile of the product that runs along rows of a matrix: vectors of columns, and rows.
constexpr int kPanel = 2;
constexpr int kPanelRows = 1;
// Vectors of columns of the delta rule that advance together.
constexpr int kDeltaPanel = 1;

// How the matrix product holds a vector: Part covers kLanes of it in one register; Whole
// (gemm.inl.h) all 16.
struct Whole;
using Part = Whole;
