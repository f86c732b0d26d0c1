"""Features in real repositories: their files, their tasks, and Players that are shell commands."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .repositories import git

# Tests that cost no time: a report as pytest writes it.
PASSING = "echo '<testsuite><testcase name=\"a\"/></testsuite>' > {junit}"
WRITES = "echo x > $GUARDKIT_TASK_ID.txt"

Needs = Mapping[str, Sequence[str]]


def feature_text(
    waves: Sequence[Sequence[str]], needs: Needs | None = None, *, feature_id: str = "FEAT-1"
) -> str:
    """Return the text of a feature file, as planners write it."""
    lines = [f"id: {feature_id}", "name: Prices", "status: planned  # by hand", "tasks:"]
    for task_id in (each for wave in waves for each in wave):
        dependencies = ", ".join((needs or {}).get(task_id, ()))
        lines += [
            f"- id: {task_id}",
            f"  name: 'Do {task_id}'",
            f"  dependencies: [{dependencies}]",
        ]
        lines += ["  status: pending", f"  file_path: tasks/{task_id}.md"]
    lines += ["orchestration:", "  parallel_groups:"]
    lines += [f"  - [{', '.join(wave)}]" for wave in waves]
    return "\n".join(lines) + "\n"


def write_feature(
    root: Path,
    waves: Sequence[Sequence[str]],
    needs: Needs | None = None,
    *,
    feature_id: str = "FEAT-1",
) -> Path:
    """Write a feature file and its task files; return the path of the feature's."""
    (root / "tasks").mkdir(parents=True, exist_ok=True)
    for task_id in (each for wave in waves for each in wave):
        text = f"---\nid: {task_id}\ntitle: Do {task_id}\n---\n"
        (root / "tasks" / f"{task_id}.md").write_text(text)
    path = root / ".guardkit" / "features" / f"{feature_id}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(feature_text(waves, needs, feature_id=feature_id))
    return path


def make_feature(
    root: Path, waves: Sequence[Sequence[str]], needs: Needs | None = None, **files: str
) -> Path:
    """Make a repository with one commit and a feature, FEAT-1; `a__py="x"` is the file a.py."""
    write_feature(root, waves, needs)
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Begin")
    return root
