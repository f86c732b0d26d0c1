"""What the thread keeps below one root."""

from guardkit.clock import Clock
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.lock import Locks


class Place:
    """The folder of all builds below a root, and the locks in it; for use in the thread alone.

    written: how many pieces of work are done, to be read from anywhere.
    """

    def __init__(self, root: str, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self.locks = Locks()
        self.written = 0
        self._builds: Folder | None = None

    def builds(self) -> Folder:
        """Return the folder of all builds, made if need be below a root that is there."""
        if not self._builds:
            self._builds = open_builds(self.root, make=True)
            self._builds.ignore()
        return self._builds

    def check(self) -> None:
        """See whether that folder still is where it was; otherwise open the one that is there."""
        if self._builds and not self._builds.is_at(self.root):
            self.close()

    def close(self) -> None:
        """Close the folder; the next use opens it anew."""
        if self._builds:
            self._builds.close()
            self._builds = None
