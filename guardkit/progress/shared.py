"""What the builds of one event loop share, such as a timer, from the first to the last of them."""

from typing import Self

from anyio.lowlevel import RunVar

Key = tuple[object, ...]


class Shared:
    """One object per running event loop, class and key: whoever uses it joins, and leaves it."""

    _key: Key
    _users = 0

    @classmethod
    def join(cls, *key: object) -> Self:
        """Return the running event loop's object for `key`, made by `cls(*key)` if need be.

        Texts in the key are told apart by value, all else, such as a clock, by identity.
        """
        whole = (cls, *(part if isinstance(part, str | None) else id(part) for part in key))
        objects = _objects()
        found = objects.get(whole)
        if not isinstance(found, cls):
            found = objects[whole] = cls(*key)
            found._key = whole
        found._users += 1
        return found

    async def leave(self) -> None:
        """End the use; the last user to leave closes the object."""
        self._users -= 1
        if not self._users:
            del _objects()[self._key]
            await self.close()

    async def close(self) -> None:
        """End what was started here."""


_var: RunVar[dict[Key, Shared] | None] = RunVar("guardkit.progress.shared")


def _objects() -> dict[Key, Shared]:
    objects = _var.get(None)
    if objects is None:
        _var.set(objects := {})
    return objects
