from __future__ import annotations

from marketsync.cli.main import main

if __name__ == "__main__":
    main()
