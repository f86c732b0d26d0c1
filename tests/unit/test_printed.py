"""What tools print, as it was printed by pytest 9.2, tqdm 4.70, ninja 1.11, CMake 3.25, cargo 1.95.

Some numbers were changed.
"""

import pytest

from guardkit.orchestrator.run.printed import Passed, find_tests, find_work
from guardkit.progress.snapshot import Work

BAR = "[00:04<00:05, 10.00it/s]"


@pytest.mark.parametrize(
    ("line", "work"),
    [
        ("............FsxX.E                                       [ 45%]", Work(45, 100, "%")),
        ("test_s.py ............FsxX.E                             [100%]", Work(100, 100, "%")),
        ("test_s.py::test_ok[0] PASSED                             [  5%]", Work(5, 100, "%")),
        ("[gw1] [  5%] PASSED test_s.py::test_ok[2] ", Work(5, 100, "%")),
        ("test_s.py ............FsxX.E                            [17/17]", Work(17, 17)),
        ("test_s.py ............FsxX.E                            [ 9/17]", Work(9, 17)),
        ("[ 33%] Building C object CMakeFiles/x.dir/x.c.o", Work(33, 100, "%")),
        ("[100%] Built target x", Work(100, 100, "%")),
        ("[12/40] Building CXX object a.o", Work(12, 40)),
        ("[0/3] Building a1", Work(0, 3)),
        ("    Building [==========>                  ] 2/5: d, syn(build)    ", Work(2, 5)),
        ("    Building [=========================> ] 39/40: app", Work(39, 40)),
        ("    Building [                           ] 0/40", Work(0, 40)),
        (" 45%|####5     | 45/100", Work(45, 100)),
        (f" 45%|████▌     | 45/100 {BAR}", Work(45, 100, "it")),
        ("  0%|          | 0/4500 [00:00<?, ?it/s]", Work(0, 4500, "it")),
        ("train:  33%|██▎  | 1500/4500 [00:00<00:00, 73893.68rows/s]", Work(1500, 4500, "rows")),
        (" 67%|####6  | 3000/4500 [00:00<00:00, 72207.45 rows/s]", Work(3000, 4500, "rows")),
        (" 33%|███▎      | 1/3 [00:01<00:02,  1.20s/it]", Work(1, 3, "it")),
        (" 33%|█▎  | 1500/4500 [00:00<00:00, 74418.99it/s, loss=0.5]", Work(1500, 4500, "it")),
        (" 33%|█▎  | 1500/4500 [1:00:00<2:00:00, 10.1it/s, a=1, b=2]", Work(1500, 4500, "it")),
        (" 33%|█▎  | 1.46k/4.39k [00:00<00:00, 74.4kB/s]", Work(33, 100, "%")),
        ("123it [00:00, 2022.94it/s]", Work(123, None, "it")),
        ("read: 123 rows [00:00, 2007.08 rows/s]", Work(123, None, "rows")),
        ("3it [00:03,  1.20s/it]", Work(3, None, "it")),
        ("0it [00:00, ?it/s]", Work(0, None, "it")),
    ],
)
def test_how_far_a_tool_is_is_read_from_its_line(line: str, work: Work) -> None:
    assert find_work(line) == work


@pytest.mark.parametrize(
    "line",
    [
        "",
        "all is well",
        "[INFO] 45% of the disk is used",
        "45% done",
        "[145%] more than all",
        "[41/40] more than all",
        "[2026/11/29] a day",
        "[11/29/2026 10:11:12] a time of day",
        "[1/2]no tool",
        "see http://example.org/12/40",
        "step 12/40",
        "[%] nothing",
        "12/40: no bar",
        " 145%|####  | 145/100",
        f"[{'9' * 20}/{'9' * 20}] beyond any count",
        "|" * 10_000 + "%",
        "[" * 10_000 + "/",
        "1 " * 10_000 + "/",
        "9" * 10_000 + "%|/",
    ],
)
def test_what_does_not_say_so_is_no_count(line: str) -> None:
    assert find_work(line) is None


@pytest.mark.parametrize(
    ("line", "tests"),
    [
        ("12 passed, 1 failed in 0.12s", Passed(12, 13)),
        ("===== 1 failed, 12 passed, 1 warning in 65.21s (0:01:05) =====", Passed(12, 13)),
        (
            "=== 1 failed, 13 passed, 1 skipped, 1 xfailed, 1 xpassed, 1 error in 0.76s ===",
            Passed(14, 16),
        ),
        ("12 passed, 5 deselected in 1.21s", Passed(12, 12)),
        ("3 errors in 0.50s", Passed(0, 3)),
        ("====== 12 passed, 3 subtests passed in 0.05s ======", Passed(12, 12)),
        ("1 failed in 0.01s", Passed(0, 1)),
    ],
)
def test_the_last_line_of_pytest_tells_how_many_have_passed(line: str, tests: Passed) -> None:
    assert find_tests(line) == tests


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no tests ran in 0.01s",
        "17 tests collected in 0.94s",
        "2 skipped in 0.01s",
        "12 passed",
        "Tests: 1 failed, 12 passed, 13 total in 3 s",
        "I have passed 3 exams in 2s",
        "1 a" * 10_000 + " in 2s",
    ],
)
def test_what_is_no_last_line_of_pytest_tells_of_no_tests(line: str) -> None:
    assert find_tests(line) is None
