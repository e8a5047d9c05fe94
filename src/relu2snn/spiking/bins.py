"""Proving that a potential stays below its threshold, neuron by neuron, by bounds on bins of time.

On a bin [s_k, s_k+1] V stays below its chord but for the inputs in the bin with negative weights (see `certificate`):

    V ≤ max(V(s_k), V(s_k+1)) + Σ J⁻ g(x), the sum over these, with g(x) = (x − s_k)(s_k+1 − x) / (s_k+1 − s_k).

Two wide bins are tried first, then six, whose float32 sums a processor takes many inputs at a time, then narrow ones.
The neurons of one position share all that depends on the inputs. Time counts backwards from the last input, at s = 0.
"""

import numpy as np

from relu2snn.spiking.compiled import compiled

_OCTAVES = 10
_BINS = 4 * _OCTAVES + 1
_SHIFT = 50


@compiled()
def highest_of(field):  # type: ignore[no-untyped-def]
    """The largest number of a field without NaN, at least 0: by its bits, of which a processor takes many at a time."""
    highest = np.zeros(1, np.int64)
    integers = field.view(np.int64)
    for j in range(integers.size):
        highest[0] = max(highest[0], integers[j])
    return highest.view(np.float64)[0]


@compiled()
def _sort_into_bins(field, highest):  # type: ignore[no-untyped-def]
    """The inputs above 0 by bin: which they are, their leads, g within their bin; where the bins start; the edges.

    Each octave below the highest input has four bins, and what lies below `_OCTAVES` of them is the first bin: the bin
    of a number is its exponent and the two leading bits of its fraction, and the edges are exact.
    """
    keys = np.full(1, highest).view(np.int64) >> _SHIFT
    lowest = keys[0] - (_BINS - 1)
    edges = ((np.arange(_BINS + 1) + lowest) << _SHIFT).view(np.float64)
    edges[0] = 0.0
    integers = field.view(np.int64)
    starts = np.zeros(_BINS + 1, np.int64)
    for j in range(field.size):
        if field[j] > 0:
            starts[max((integers[j] >> _SHIFT) - lowest, 0) + 1] += 1
    for k in range(_BINS):
        starts[k + 1] += starts[k]
    ends = starts.copy()
    count = starts[_BINS]
    which, values, gap = np.empty(count, np.int64), np.empty(count), np.empty(count)
    for j in range(field.size):
        x = field[j]
        if x > 0:
            k = max((integers[j] >> _SHIFT) - lowest, 0)
            n = ends[k]
            ends[k] += 1
            which[n], values[n] = j, x
            gap[n] = (x - edges[k]) * (edges[k + 1] - x) / (edges[k + 1] - edges[k])
    return which, values, gap, starts, edges


# In the sums no order of the terms is better than another: the bound on their rounding holds for all.
@compiled(fastmath={"reassoc", "contract", "nsz"})
def _stays_below(which, values, gap, starts, edges, row, level, drive, size, before):  # type: ignore[no-untyped-def]
    """Whether one neuron's V stays below ϑ until the last input, by the narrow bins."""
    # `row` is rounded to float32, and the sums of the loops round in float64.
    unit = 2.0**-24 + (row.size + 2 * _BINS + 8) * 2.0**-52
    room = level - unit * (abs(level) + abs(drive) * before + 2 * size * edges[_BINS])
    arrived, sums = 0.0, 0.0
    later = drive * (before - edges[_BINS])
    below = max(later, 0.0) < room
    for k in range(_BINS - 1, -1, -1):
        total, moment, slack = 0.0, 0.0, 0.0
        for n in range(starts[k], starts[k + 1]):
            w = np.float64(row[which[n]])
            total += w
            moment += w * values[n]
            slack += max(-w, 0.0) * gap[n]
        arrived += total
        sums += moment
        now = drive * (before - edges[k]) + sums - arrived * edges[k]
        below &= max(now, later) + slack < room
        if not below:
            break
        later = now
    if below:
        return True
    # What windows that certify are made for: all positive inputs at once stay below.
    positive = 0.0
    for n in range(which.size):
        positive += max(np.float64(row[which[n]]), 0.0) * values[n]
    return max(drive, 0.0) * before + positive < room


# Edges of the wide bins as shares of the highest input: most inputs are far below it. Of the open pairs of a trained
# VGG 16 the two leave one in two hundred to one in two for the six, and these one in a hundred for the narrow bins.
TWO = np.array([0.0, 0.05, 1.0])
SIX = np.array([0.0, 0.01, 0.03, 0.07, 0.15, 0.4, 1.0])
_CHUNK = 512
"""Inputs whose float32 products are summed in float32, before their sum goes into one of float64."""


@compiled()
def _wide_terms(field, edges):  # type: ignore[no-untyped-def]
    """g(x) in each bin between the edges, then max(x − s, 0) at all edges but the outer two: (terms, inputs)."""
    bins = edges.size - 1
    inputs = field.astype(np.float32)
    terms = np.empty((2 * bins - 1, field.size), np.float32)
    for k in range(bins):
        low, high = np.float32(edges[k]), np.float32(edges[k + 1])
        scale = np.float32(1) / (high - low)
        gap, above = terms[k], terms[max(bins + k - 1, 0)]
        for j in range(inputs.size):
            gap[j] = max(inputs[j] - low, np.float32(0)) * max(high - inputs[j], np.float32(0)) * scale
        if k:
            for j in range(inputs.size):
                above[j] = max(inputs[j] - low, np.float32(0))
    return terms


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _two_sums(row, t0, t1, t2, out):  # type: ignore[no-untyped-def]
    """Add Σ J⁻ g of two bins and Σ J max(x − s, 0) at the edge between them; the sum at s = 0 is known."""
    a, b, c = np.float32(0), np.float32(0), np.float32(0)
    for j in range(row.size):
        negative = max(-row[j], np.float32(0))
        a += negative * t0[j]
        b += negative * t1[j]
        c += row[j] * t2[j]
    out[0] += a
    out[1] += b
    out[2] += c


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _six_gaps(row, t0, t1, t2, t3, t4, t5, out):  # type: ignore[no-untyped-def]
    """Add Σ J⁻ g of six bins."""
    zero = np.float32(0)
    a, b, c, d, e, f = zero, zero, zero, zero, zero, zero
    for j in range(row.size):
        negative = max(-row[j], np.float32(0))
        a += negative * t0[j]
        b += negative * t1[j]
        c += negative * t2[j]
        d += negative * t3[j]
        e += negative * t4[j]
        f += negative * t5[j]
    out[0] += a
    out[1] += b
    out[2] += c
    out[3] += d
    out[4] += e
    out[5] += f


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _five_sums(row, t0, t1, t2, t3, t4, out):  # type: ignore[no-untyped-def]
    """Add Σ J max(x − s, 0) at five edges."""
    zero = np.float32(0)
    a, b, c, d, e = zero, zero, zero, zero, zero
    for j in range(row.size):
        a += row[j] * t0[j]
        b += row[j] * t1[j]
        c += row[j] * t2[j]
        d += row[j] * t3[j]
        e += row[j] * t4[j]
    out[6] += a
    out[7] += b
    out[8] += c
    out[9] += d
    out[10] += e


@compiled()
def _wide_sums(terms, rows, chosen):  # type: ignore[no-untyped-def]
    """The sums of the neurons `chosen` over two or six bins, (chosen, terms).

    By chunks, whose terms stay in the cache while the neurons' weights stream by.
    """
    sums = np.zeros((chosen.size, terms.shape[0]))
    for start in range(0, terms.shape[1], _CHUNK):
        # Slices of one row each: of a slice of the matrix the compiler does not know that its rows have no gaps.
        stop = start + _CHUNK
        t0, t1, t2 = terms[0, start:stop], terms[1, start:stop], terms[2, start:stop]
        if terms.shape[0] == 3:
            for k in range(chosen.size):
                _two_sums(rows[chosen[k], start:stop], t0, t1, t2, sums[k])
        else:
            t3, t4, t5 = terms[3, start:stop], terms[4, start:stop], terms[5, start:stop]
            t6, t7, t8 = terms[6, start:stop], terms[7, start:stop], terms[8, start:stop]
            t9, t10 = terms[9, start:stop], terms[10, start:stop]
            for k in range(chosen.size):
                row = rows[chosen[k], start:stop]
                _six_gaps(row, t0, t1, t2, t3, t4, t5, sums[k])
                _five_sums(row, t6, t7, t8, t9, t10, sums[k])
    return sums


@compiled()
def prove_wide(mask, field, edges, rows, level, drive, size, rise, before, closed, last_lead):  # type: ignore[no-untyped-def]  # fmt: skip
    """Take the neurons that stay below ϑ by the wide bins out of `mask`; returns how many.

    closed (units,): the closed form. last_lead: that of a spike that comes with the last input.
    """
    # Without arrays in between: making them takes as long as a bound does.
    chosen, count = np.empty(mask.size, np.int64), 0
    for f in range(mask.size):
        if mask[f] and rise[f] > 0:
            chosen[count] = f
            count += 1
    chosen = chosen[:count]
    sums = _wide_sums(_wide_terms(field, edges), rows, chosen)
    last = edges.size - 1
    unit = (_CHUNK + 16) * 2.0**-24
    proved = 0
    for n in range(count):
        f = chosen[n]
        leading = np.float64(closed[f]) - last_lead
        room = level[f] - unit * (abs(level[f]) + abs(drive[f]) * before + 3 * size[f] * edges[last])
        later = max(drive[f] * (before - edges[last]), 0.0)
        below = True
        for k in range(last - 1, -1, -1):
            # At s = 0 V is what the closed form comes from.
            now = drive[f] * (before - edges[k]) + sums[n, last + k - 1] if k else level[f] + leading * rise[f]
            below &= max(now, later) + sums[n, k] < room
            later = now
        if below:
            mask[f] = False
            proved += 1
    return proved


@compiled()
def prove(mask, field, highest, rows, level, drive, size, rise, before):  # type: ignore[no-untyped-def]
    """As `prove_wide`, with the narrow bins."""
    which, values, gap, starts, edges = _sort_into_bins(field, highest)
    proved = 0
    for f in range(mask.size):
        row = rows[f]
        below = mask[f] and rise[f] > 0
        if below and _stays_below(which, values, gap, starts, edges, row, level[f], drive[f], size[f], before):
            mask[f] = False
            proved += 1
    return proved
