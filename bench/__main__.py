"""python -m weightkin.bench"""

from .run import main

__all__ = ["main"]

if __name__ == "__main__":
    main(prog_name="python -m weightkin.bench")
