import sys
from pathlib import Path

# `bench` is run from the checkout, not installed.
sys.path.insert(0, str(Path(__file__).parents[2]))
