"""A small feature, and a scripted Player: what `guardkit demo --feature` runs on."""

from textwrap import dedent

FEATURE_ID = "FEAT-DEMO"
MAX_PARALLEL = 2
TURNS = 4  # one after the other: two of TASK-1, one in each other wave
TASKS = {  # what each is called, the task it is, and what it depends on
    "tax": ("TASK-1", "Add tax to a price", ()),
    "discount": ("TASK-2", "Take a discount off a price", ()),
    "total": ("TASK-3", "Add up a basket, with tax and discount", ("tax", "discount")),
    "receipt": ("TASK-4", "Print a price on a receipt", ("tax",)),
    "shop": ("TASK-5", "Print the receipt of a basket", ("total", "receipt")),
}
WAVES = (("tax", "discount"), ("total", "receipt"), ("shop",))
CODE = {
    "tax": "def with_tax(cents, percent):\n    return (cents * (100 + percent) + 50) // 100\n",
    "discount": "def less(cents, percent):\n    return cents - cents * percent // 100\n",
    "total": """\
        from discount import less
        from tax import with_tax


        def total(prices, tax, discount):
            return with_tax(less(sum(prices), discount), tax)
        """,
    "receipt": "def line(name, cents):\n    return f'{name:<12}{cents / 100:>8.2f}'\n",
    "shop": """\
        from receipt import line
        from total import total


        def receipt(basket, tax=19, discount=0):
            lines = [line(name, cents) for name, cents in basket.items()]
            return [*lines, line("Total", total(basket.values(), tax, discount))]
        """,
}
TESTS = {
    "tax": "module.with_tax(1000, 19) == 1190 and module.with_tax(50, 5) == 53",
    "discount": "module.less(1000, 10) == 900",
    "total": "module.total([500, 500], 19, 10) == 1071",
    "receipt": "module.line('Tea', 450) == 'Tea             4.50'",
    "shop": "module.receipt({'Tea': 1000})[-1] == 'Total          11.90'",
}
# In its first turn the Player takes the built-in round(), which makes 52 of 52.5.
WRONG = "def with_tax(cents, percent):\\n    return round(cents * (100 + percent) / 100)\\n"
PLAYER = """\
say() { echo "$1"; sleep "$PAUSE"; }
say "reading $GUARDKIT_TASK_ID"
case "$GUARDKIT_TASK_ID" in
"""


def demo_files() -> dict[str, str]:
    """Return the text of each file of the repository, by its path."""
    tasks = {
        f"tasks/backlog/{task_id}-{name}.md": f"---\nid: {task_id}\ntitle: {title}\n---\n"
        for name, (task_id, title, _) in TASKS.items()
    }
    tests = {f"test_{name}.py": _test(name) for name in TASKS}
    feature = {f".guardkit/features/{FEATURE_ID}.yaml": _feature()}
    return {**tasks, **tests, **feature, "player.sh": _player(), "shop.md": "# A small shop\n"}


def _test(name: str) -> str:
    """Return the tests of a module, which are passed over as long as there is none."""
    begin = f'import pytest\n\nmodule = pytest.importorskip("{name}")\n\n\n'
    return f"{begin}def test_{name}():\n    assert {TESTS[name]}\n"


def _feature() -> str:
    lines = [f"id: {FEATURE_ID}", "name: A small shop", "status: planned", "tasks:"]
    for task_id, title, needs in TASKS.values():
        before = ", ".join(TASKS[each][0] for each in needs)
        lines += [f"- id: {task_id}", f"  name: {title}", f"  dependencies: [{before}]"]
        lines.append("  status: pending")
    lines += ["orchestration:", "  parallel_groups:"]
    lines += [f"  - [{', '.join(TASKS[each][0] for each in wave)}]" for wave in WAVES]
    return "\n".join(lines) + "\n"


def _player() -> str:
    cases = [
        f"{task_id})\n  say 'writing {name}.py'\n  cat > {name}.py <<'END'\n"
        f"{dedent(CODE[name])}END\n  ;;\n"
        for name, (task_id, _, _) in TASKS.items()
    ]
    slip = 'if [ "$GUARDKIT_TASK_ID $GUARDKIT_TURN" = "TASK-1 1" ]; then\n'
    return f"{PLAYER}{''.join(cases)}esac\n{slip}  printf '{WRONG}' > tax.py\nfi\nsay 'done'\n"
