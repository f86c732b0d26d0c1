"""What agents are told: the texts in this folder, or those in a folder of the user's."""

import re
from collections.abc import Mapping
from pathlib import Path

from guardkit.errors import MisuseError
from guardkit.progress.folder import read_file

OURS = Path(__file__).parent
NAMES = ("player", "again", "coach")
FIELD = re.compile(r"\{\{(\w+)\}\}")
TEXT_MAX = 2**20  # bytes of one text


class Prompts:
    """The texts that agents are told; in each, `{{name}}` stands for what is put there.

    folder: those that replace ours, by the same names: player.md, again.md, coach.md.
    Raises MisuseError where it has none of them, or one cannot be read.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._texts = {name: _read(OURS / f"{name}.md") for name in NAMES}
        if folder is not None:
            own = [name for name in NAMES if (folder / f"{name}.md").is_file()]
            if not own:
                wanted = ", ".join(f"{name}.md" for name in NAMES)
                raise MisuseError(f"--prompts {folder} holds none of {wanted}")
            self._texts |= {name: _read(folder / f"{name}.md") for name in own}

    def fill(self, name: str, fields: Mapping[str, str]) -> str:
        """Return a text; what is put into it is not looked at again, whatever it holds."""
        return FIELD.sub(lambda found: fields.get(found[1], found[0]), self._texts[name])


def _read(path: Path) -> str:
    try:
        return read_file(path, TEXT_MAX).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(f"{path} cannot be read as a prompt: {error}") from error
