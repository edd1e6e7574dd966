"""KMNIST: 60,000 and 10,000 images of cursive Japanese characters (Clanuwat et al. 2018)."""

from functools import partial

from dae.sources._fetch import MIRRORS, Places, from_mirrors

SHA256: dict[str, str] = {}  # not published; torchvision checks the MD5 of the packed files that it downloads


def kmnist() -> Places:
    """Torchvision's mirrors."""
    return {MIRRORS: partial(from_mirrors, "KMNIST")}
