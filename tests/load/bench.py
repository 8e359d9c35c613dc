"""All benches in turn: `make bench`, or `python -m tests.load.bench`."""

from __future__ import annotations

import os
import platform

from tests.load import bench_cluster, bench_engine, bench_router


def main() -> None:
    """Say what machine this is, then measure."""
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f} at start")
    bench_engine.main([])
    bench_router.main([])
    bench_cluster.main([])


if __name__ == "__main__":
    main()
