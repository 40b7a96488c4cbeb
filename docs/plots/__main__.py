"""In docs/, python -m plots FOLDER draws the figures without building the pages."""

import sys
from pathlib import Path

from plots import draw

if __name__ == "__main__":
    draw(Path(sys.argv[1]))
