import sys
from pathlib import Path

# Worker processes import the toy study by its name, as they would an installed one.
sys.path.insert(0, str(Path(__file__).parent))
