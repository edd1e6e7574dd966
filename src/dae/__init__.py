"""Denoising autoencoders: corruptions, networks, losses, training, evaluation.

The library knows nothing of DVC, of where files live, or of the command line; `stages/` does.
"""
