"""Any four IDX files of images (N, 28, 28) and labels (N,) from 0 to 9, in the folder that the entry names."""

from dae.sources._fetch import Places

SHA256 = None


def idx() -> Places:
    """There is nowhere to fetch them from."""
    return {}
