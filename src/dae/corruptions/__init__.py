"""Corruption processes q(x_tilde | x): one file for each kind, with a function of that name.

The function takes clean images `x`, float32 of shape (N, C, H, W) with values in [0, 1], and returns float32 images
x_tilde; a random process draws from the generator `rng` alone. Nothing is clipped and nothing is rounded: clipping
Gaussian noise on black and white pixels would shift its mean, and E[x_tilde | x] = x is what Noise2Noise needs.

The file of a kind also says what else is known of it, where that differs from the default:

- `keeps(arguments)`: which of "mean" (E[x_tilde | x] = x) and "median" the process keeps; by default neither.
- `maps_bytes(arguments)`: whether every value of x_tilde is a value of x, 0 or 1, so that bytes store the images
  without loss; by default they do not.
- `OF_CODES = True`: it does not matter which pixels are neighbours, so the function also takes hidden codes (N, 1, D).
- `mask(shape, *, rng, ...)`: the process is x_tilde = mask * x, or a multiple of it; the mask, True where a pixel is
  kept, has the shape (N, 1, ...) for images of `shape` and takes the same arguments.
"""
