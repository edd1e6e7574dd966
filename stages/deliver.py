"""Send the MLflow runs that were kept on disk while the store was away."""

from dae.courier import deliver_all
from stages.common import run


def main() -> None:
    """Send every run that waits. Exit code 1 if one could not be sent."""
    sent, failed = deliver_all()
    print(f"{sent} sent, {failed} kept for later")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    run(main, after_interrupt="`make deliver` goes on")
