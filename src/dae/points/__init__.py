"""Sets of points in the plane, where all of a denoiser can be drawn (lectures 001, 004): one file for each kind.

The function of the kind's name draws `count` points, float32 of shape (count, 2), inside [-1, 1]^2 at its defaults,
from the generator `rng` alone. The points lie on curves, and off the curves there are none. The function `midway` takes
the same arguments and gives a place from which two parts of the set are equally far.
"""
