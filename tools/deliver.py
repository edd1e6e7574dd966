"""Send the MLflow runs that were kept on disk while the store could not be reached."""

from dae.courier import deliver_all
from stages.common import run
from stages.context import home


def main() -> None:
    """Send every run that is waiting. The exit code is 1 if one could not be sent."""
    sent, failed = deliver_all(home())
    print(f"{sent} sent, {failed} kept for later")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    run(main, after_interrupt="`make deliver` goes on")
