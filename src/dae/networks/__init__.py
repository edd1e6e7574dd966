"""Networks: one file for each kind, with a function or a class of that name that builds a network with fresh weights.

Its keyword-only arguments are those that an entry may give.

`ROLE` in the file says what the network is for: "denoiser" (image to image of the same size), "upscaler" (to a larger
image), "classifier" (image to class scores), "points" (points in the plane), or "part" (built by stages alone).
"""
