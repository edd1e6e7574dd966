"""Show the runs in MLflow's own pages, on this machine alone."""

import os
import sys
from typing import Annotated

import typer

from dae.tracking import home, store_uri, without_password
from stages.common import run


def main(port: Annotated[int, typer.Option(min=1, max=65535)] = 5000) -> None:
    """Serve the tracking store on 127.0.0.1:PORT until interrupted."""
    uri = store_uri(home())
    if uri.startswith("http"):
        print(f"{without_password(uri)} (MLFLOW_TRACKING_URI: that server shows the runs itself)", file=sys.stderr)
        return
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    print(f"http://127.0.0.1:{port} (Ctrl-C ends it)", file=sys.stderr)
    os.execv(sys.executable, [*command, "--port", str(port)])


if __name__ == "__main__":
    run(main)
