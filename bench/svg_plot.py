"""A small plot of curves with logarithmic heights, as SVG."""
import math

COLOURS = ["#b3402a", "#2a62b3", "#2a8f4f", "#8a5fb0"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 440, 70, 50, 40, 20


def nice_step(span, count):
    rough = span / count
    power = 10 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough)


def plot(path, title, across, up, curves, floor=None):
    """curves: {label: [(x, y, low, high)]}; y > 0, low and high its interval; floor: a height."""
    points = [p for curve in curves.values() for p in curve]
    x0, x1 = min(p[0] for p in points), max(p[0] for p in points)
    margin = (x1 - x0) * 0.05
    x0, x1 = x0 - margin, x1 + margin
    heights = [h for p in points for h in p[1:]] + ([floor] if floor else [])
    y0, y1 = math.floor(math.log10(min(heights))), math.ceil(math.log10(max(heights)))

    def px(x):
        return LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(y):
        return HEIGHT - BOTTOM - (math.log10(y) - y0) / (y1 - y0) * (HEIGHT - BOTTOM - TOP)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" '
           'font-size="12">' % (WIDTH, HEIGHT),
           '<rect width="%d" height="%d" fill="white"/>' % (WIDTH, HEIGHT)]

    def line(xa, ya, xb, yb, style):
        out.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>' % (xa, ya, xb, yb, style))

    def text(x, y, words, anchor, extra=""):
        out.append('<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>' %
                   (x, y, anchor, extra, words))

    text(LEFT, 20, title, "start", 'font-weight="bold"')
    text((LEFT + WIDTH) / 2, HEIGHT - 10, across, "middle")
    text(16, HEIGHT / 2, up, "middle", 'transform="rotate(-90 16 %d)"' % (HEIGHT // 2))
    for power in range(y0, y1 + 1):
        line(LEFT, py(10 ** power), WIDTH - RIGHT, py(10 ** power), 'stroke="#dddddd"')
        text(LEFT - 6, py(10 ** power) + 4, "%g" % 10 ** power, "end")
    step = nice_step(x1 - x0, 8)
    tick = math.ceil(x0 / step) * step
    while tick <= x1:
        line(px(tick), HEIGHT - BOTTOM, px(tick), HEIGHT - BOTTOM + 4, 'stroke="black"')
        text(px(tick), HEIGHT - BOTTOM + 18, "%g" % tick, "middle")
        tick += step
    if floor:
        line(LEFT, py(floor), WIDTH - RIGHT, py(floor), 'stroke="black" stroke-dasharray="4 4"')
        text(LEFT + 6, py(floor) - 5, "floor", "start")
    for i, (label, curve) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        curve = sorted(curve)
        out.append('<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>' %
                   (colour, " ".join("%.1f,%.1f" % (px(p[0]), py(p[1])) for p in curve)))
        for x, y, low, high in curve:
            line(px(x), py(low), px(x), py(high), 'stroke="%s"' % colour)
            out.append('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (px(x), py(y), colour))
        text(WIDTH - RIGHT - 8, TOP + 16 * (i + 1), label, "end", 'fill="%s"' % colour)
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out))
