"""Where the oracle tests find things; ctest sets KARAT_BUILD."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("KARAT_BUILD", os.path.join(ROOT, "build"))
FIXTURES = os.path.join(ROOT, "tests", "fixtures")
DEMO = os.path.join(ROOT, "demo", "model")
KARAT = os.path.join(BUILD, "karat")
STOCK = os.path.join(BUILD, "stock-llama.cpp")
