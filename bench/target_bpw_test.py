"""The baseline's pieces by hand: sampling, errors, hull, allocation."""
import itertools
import random
import unittest

import numpy as np

import target_bpw as method


class Errors(unittest.TestCase):
    def test_error_is_relative_and_weighted(self):
        x = np.array([[1.0, 2.0]], np.float32)
        y = np.array([[1.0, 2.5]], np.float32)
        self.assertAlmostEqual(method.slice_error(x, y, None), 0.25 / 5)
        self.assertAlmostEqual(method.slice_error(x, y, np.array([1.0, 4.0])), 1.0 / 17)

    def test_one_row_in_a_hundred_is_left_out_at_either_end(self):
        self.assertEqual(method.trimmed_mean(np.array([1e9] + [2.0] * 98 + [-1e9])), 2)
        self.assertEqual(method.trimmed_mean(np.array([1.0, 2.0, 6.0])), 3)

    def test_outliers_of_the_weights_are_cut(self):
        values = np.exp(np.linspace(-1, 1, 101))
        values[7] = 1e9
        cut = method.winsorized(values)
        self.assertLess(cut[7], 1e3)
        np.testing.assert_array_equal(np.delete(cut, 7), np.delete(values, 7))

    def test_sampled_rows(self):
        self.assertEqual(len(method.sampled_rows(512, 2048, 256)), 512)
        self.assertEqual(len(method.sampled_rows(2048, 512, 256)), 256)
        rows = method.sampled_rows(248320, 2048, 1)
        self.assertEqual(len(rows), 512)
        self.assertTrue((np.diff(rows) > 0).all())


class Allocation(unittest.TestCase):
    def test_hull_falls_and_is_convex(self):
        points = [(1, 10, "a"), (2, 8, "b"), (3, 1, "c"), (4, 2, "d"), (6, 0.5, "e")]
        self.assertEqual([kind for _, _, kind in method.lower_hull(points)], ["a", "c", "e"])

    def test_nearly_the_best_and_never_above_the_budget(self):
        draw = random.Random(4)
        for _ in range(30):
            hulls = {}
            for t in range(5):
                error, points = 1.0, []
                for size in sorted(draw.sample(range(100, 2000), 4)):
                    error *= draw.uniform(0.1, 0.7)
                    points.append((size, error, str(size)))
                hulls["t%d" % t] = method.lower_hull(points)
            least = sum(hull[0][0] for hull in hulls.values())
            budget = draw.randint(least, least + 4000)
            choice = method.allocate(hulls, budget)
            pick = [hulls[n][i] for n, i in choice.items()]
            self.assertLessEqual(sum(p[0] for p in pick), budget)
            best = min(sum(p[1] for p in every) for every in itertools.product(*hulls.values())
                       if sum(p[0] for p in every) <= budget)
            # A Lagrangian leaves at most one step of one tensor, here less than the largest error.
            self.assertLess(sum(p[1] for p in pick), best + 0.7)

    def test_experts_down_are_capped_where_bits_are_few(self):
        hulls = {"blk.0.ffn_%s_exps.weight" % part: [(66, 9.0, "IQ2_XXS"), (144, 1.0, "Q4_K")]
                 for part in ("gate", "up", "down")}
        choice = dict.fromkeys(hulls, 0)
        choice["blk.0.ffn_down_exps.weight"] = 1
        capped = method.cap_down(hulls, choice, 300)
        self.assertEqual(capped, dict.fromkeys(hulls, 0))


if __name__ == "__main__":
    unittest.main()
