"""Put the tables that the pipeline wrote into the README, between the comments that name them."""

import re
from pathlib import Path

from dae.data.files import replacing_file
from stages.common import run

README = Path("README.md")


def main(results: Path = Path("results")) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end of NAME -->` by RESULTS/NAME.md."""
    text = README.read_text(encoding="utf-8")
    for name in ("lectures", "summary"):
        table = (results / f"{name}.md").read_text(encoding="utf-8")
        text = insert(text, name, table)
    with replacing_file(README) as path:
        path.write_text(text, encoding="utf-8")


def insert(text: str, name: str, table: str) -> str:
    """`text` with the table at its place. Raises ValueError if there is no such place."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"{README}: expected {begin.strip()} and {end}")
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{table}\n{end}", text, flags=re.DOTALL)


if __name__ == "__main__":
    run(main)
