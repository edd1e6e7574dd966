"""Fashion-MNIST: 60,000 and 10,000 images of clothes (Xiao et al. 2017)."""

from functools import partial

from dae.sources._fetch import MIRRORS, Places, from_apt, from_mirrors

SHA256 = {
    "train_images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train_labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "test_images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "test_labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
DEBIAN_PACKAGE = "dataset-fashion-mnist"


def fashion_mnist() -> Places:
    """Torchvision's mirrors, then a package of Debian."""
    return {
        MIRRORS: partial(from_mirrors, "FashionMNIST"),
        f"Debian's {DEBIAN_PACKAGE}": partial(from_apt, DEBIAN_PACKAGE),
    }
