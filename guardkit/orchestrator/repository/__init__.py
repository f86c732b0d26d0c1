"""Where a build works: git, its worktree, and what changes beside it."""
