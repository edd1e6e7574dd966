"""What every stage shares: random streams, files, images and their corruption, networks on disk, PyTorch's settings.

Every stage depends on this folder, so an edit here runs everything again.
"""
