"""What conftest.py adds to every test."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def test_a_test_that_is_slow_by_itself_needs_the_mark(tmp_path):
    """Half a second of the CPU is slow here."""
    (tmp_path / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nimport importlib.util as util\n"
        f"spec = util.spec_from_file_location('guard', {str(TESTS / 'conftest.py')!r})\n"
        "guard = util.module_from_spec(spec)\nspec.loader.exec_module(guard)\nguard._FAST_S = 0.5\n"
        "pytest_runtest_call = guard.pytest_runtest_call\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import time\nimport pytest\n"
        "def work(seconds):\n    while time.process_time() < seconds:\n        pass\n"
        "def test_fast():\n    pass\n"
        "def test_slow():\n    work(time.process_time() + 0.6)\n"
        "@pytest.mark.slow\ndef test_marked():\n    work(time.process_time() + 0.6)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", str(tmp_path)]

    def printed(*options):
        done = subprocess.run([*command, *options], check=False, capture_output=True, text=True, cwd=tmp_path)
        return done.stdout

    fast = printed("-m", "not slow")
    assert "1 failed, 1 passed, 1 deselected" in fast, fast
    assert "FAILED test_it.py::test_slow - Failed: took " in fast
    assert "3 passed" in printed()
