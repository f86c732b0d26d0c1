"""What lies below .guardkit, opened level by level: no link, no pipe, no read without a bound."""

import errno
import os
import resource
import shutil
import socket
import stat
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from guardkit.progress.folder import Folder, open_builds, open_root, read_file
from guardkit.progress.paths import build_dir, builds_dir

from ..chaos.mounts import tmpfs

NOBODY = 65534
LINK = "it is a link, which guardkit does not follow"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with open_root(tmp_path) as folder:
        yield folder


@pytest.fixture
def no_descriptor_is_left() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


def descriptors() -> list[str]:
    with os.scandir("/proc/self/fd") as entries:
        return sorted(entry.name for entry in entries)


@contextmanager
def somebody_else() -> Iterator[Path]:
    """Become another user, in a folder that all may search."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    with TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        os.seteuid(NOBODY)
        try:
            yield Path(path)
        finally:
            os.seteuid(0)


def refusal(call: Callable[[], object]) -> tuple[int | None, str, str]:
    """Return the errno, the words and the path with which a call is refused."""
    with pytest.raises(OSError) as raised:  # noqa: PT011
        call()
    return raised.value.errno, raised.value.strerror or "", raised.value.filename


def snapshot_of(path: Path) -> list[tuple[str, int, int]]:
    """Return the names, modes and sizes of all that is below a path."""
    found = ((each, each.lstat()) for each in sorted(path.rglob("*")))
    return [(str(each), status.st_mode, status.st_size) for each, status in found]


# folders


def test_the_folder_of_the_builds_is_made_level_by_level(tmp_path: Path) -> None:
    with open_builds(tmp_path, make=True) as builds, builds.folder("TASK-1", make=True) as folder:
        assert builds.path == builds_dir(tmp_path) == f"{tmp_path}/.guardkit/autobuild"
        assert folder.path == build_dir(tmp_path, "TASK-1") == f"{builds.path}/TASK-1"
    assert (tmp_path / ".guardkit/autobuild/TASK-1").is_dir()


def test_a_folder_that_is_not_there_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_builds(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_root_that_is_not_there_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_builds(tmp_path / "gone", make=True)
    assert not list(tmp_path.iterdir())


def test_a_root_that_is_a_link_is_followed_as_it_is_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to("root")
    open_builds(tmp_path / "link", make=True).close()
    assert (tmp_path / "root/.guardkit/autobuild").is_dir()


@pytest.mark.parametrize("make", [False, True], ids=["looked for", "made"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
@pytest.mark.parametrize(
    "level", [".guardkit", ".guardkit/autobuild", ".guardkit/autobuild/TASK-1"]
)
@pytest.mark.usefixtures("no_descriptor_is_left")
def test_a_folder_that_is_a_link_is_refused_at_every_level(
    tmp_path: Path, level: str, target: str, make: bool
) -> None:
    link = tmp_path / "root" / level
    link.parent.mkdir(parents=True)
    shutil.copytree(link.parent, tmp_path / "elsewhere")
    (tmp_path / "elsewhere/autobuild/TASK-1").mkdir(parents=True)
    link.symlink_to(tmp_path / target)
    before = snapshot_of(tmp_path)

    def open_all() -> None:
        with open_builds(tmp_path / "root", make=make) as builds:
            builds.folder("TASK-1", make=make)

    assert refusal(open_all) == (errno.ELOOP, LINK, str(link))
    assert snapshot_of(tmp_path) == before


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".guardkit").touch()
    words = errno.ENOTDIR, "Not a directory", f"{tmp_path}/.guardkit"
    assert refusal(lambda: open_builds(tmp_path, make=True)) == words


def test_a_folder_that_two_make_at_once_is_opened_by_both(folder: Folder) -> None:
    barrier, failed = threading.Barrier(2), list[OSError]()

    def make() -> None:
        for number in range(300):
            barrier.wait()
            try:
                folder.folder(str(number), make=True).close()
            except OSError as error:
                failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_folder_that_may_not_be_made_is_named() -> None:
    with somebody_else() as path, open_root(path) as folder:
        names = errno.EACCES, "Permission denied", f"{path}/new"
        assert refusal(lambda: folder.folder("new", make=True)) == names


def test_the_right_to_search_a_folder_is_enough_to_read_in_it() -> None:
    with somebody_else() as path:
        os.seteuid(0)
        (path / ".guardkit/autobuild/TASK-1").mkdir(parents=True)
        (path / ".guardkit/autobuild/TASK-1/progress.json").write_text("{}")
        for each in (path, path / ".guardkit", path / ".guardkit/autobuild"):
            each.chmod(0o711)
        os.seteuid(NOBODY)
        with open_builds(path) as builds, builds.folder("TASK-1") as folder:
            assert folder.read("progress.json", 100) == b"{}"
            with pytest.raises(PermissionError):
                builds.names()


def test_a_folder_is_closed_once(tmp_path: Path) -> None:
    before = descriptors()
    with open_root(tmp_path) as folder:
        folder.close()
        assert descriptors() == before


def test_names_are_those_of_all_that_is_there(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "a").touch()
    (tmp_path / ".b").mkdir()
    (tmp_path / "c").symlink_to("nowhere")
    assert sorted(folder.names()) == [".b", "a", "c"]


def test_a_folder_that_was_deleted_is_empty(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with open_root(tmp_path / "gone") as folder:
        (tmp_path / "gone").rmdir()
        assert folder.names() == []


# whether a folder is still where it was


def test_a_folder_is_at_its_root(tmp_path: Path) -> None:
    with open_builds(tmp_path, make=True) as builds:
        assert builds.is_at(tmp_path)
        assert not builds.is_at(tmp_path / "elsewhere")


@pytest.mark.parametrize("level", ["", ".guardkit", ".guardkit/autobuild"])
@pytest.mark.parametrize("then", ["gone", "made anew", "a link to it", "a file"])
def test_a_folder_that_was_moved_away_is_not_at_its_root(
    tmp_path: Path, level: str, then: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with open_builds(root, make=True) as builds:
        (root / level).rename(tmp_path / "moved")
        if then == "made anew":
            (root / ".guardkit/autobuild").mkdir(parents=True)
        elif then == "a link to it":
            (root / level).symlink_to(tmp_path / "moved")
        elif then == "a file":
            (root / level).touch()
        # links in the path of the root are the user's own
        assert builds.is_at(root) is (then == "a link to it" and not level)


def test_a_failure_is_not_taken_for_a_folder_that_is_gone() -> None:
    with somebody_else() as path:
        os.seteuid(0)
        with open_builds(path, make=True) as builds:
            (path / ".guardkit").chmod(0o700)
            os.seteuid(NOBODY)
            with pytest.raises(PermissionError):
                builds.is_at(path)


# files


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, open_root(path.parent) as folder:
        server.bind(f"/proc/self/fd/{folder.fd}/{path.name}")  # as a path has to be short


def make_folder(path: Path) -> None:
    path.mkdir()


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # as /dev/zero
    except PermissionError:
        pytest.skip("no device may be made here")


SPECIAL = [
    pytest.param(make, id=make.__name__.removeprefix("make_"))
    for make in (make_pipe, make_socket, make_folder, make_device)
]
WAYS = {
    "to read": os.O_RDONLY,
    "to write": os.O_WRONLY,
    "to append": os.O_RDWR | os.O_CREAT | os.O_APPEND,
}


@pytest.mark.parametrize("flags", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", SPECIAL)
@pytest.mark.usefixtures("no_descriptor_is_left")
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, folder: Folder, make: Callable[[Path], None], flags: int
) -> None:
    make(tmp_path / "file")
    number, _, name = refusal(lambda: folder.file("file", flags))
    assert number in {errno.EINVAL, errno.ENXIO, errno.EISDIR}
    assert name == f"{tmp_path}/file"


@pytest.mark.parametrize("flags", WAYS.values(), ids=WAYS)
def test_a_pipe_is_refused_though_somebody_reads_and_writes_it(
    tmp_path: Path, folder: Folder, flags: int
) -> None:
    os.mkfifo(tmp_path / "file")
    other = os.open(tmp_path / "file", os.O_RDWR)
    try:
        words = errno.EINVAL, "it is not a regular file", f"{tmp_path}/file"
        assert refusal(lambda: folder.file("file", flags)) == words
    finally:
        os.close(other)


@pytest.mark.parametrize("flags", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("target", ["file", "nowhere", "/dev/zero", "link"])
@pytest.mark.usefixtures("no_descriptor_is_left")
def test_a_file_that_is_a_link_is_refused(
    tmp_path: Path, folder: Folder, target: str, flags: int
) -> None:
    (tmp_path / "file").write_text("key")
    (tmp_path / "link").symlink_to(target)
    assert refusal(lambda: folder.file("link", flags)) == (errno.ELOOP, LINK, f"{tmp_path}/link")
    assert refusal(lambda: folder.read("link", 10)) == (errno.ELOOP, LINK, f"{tmp_path}/link")
    assert (tmp_path / "file").read_text() == "key"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_made_with_the_mode_that_the_umask_leaves(tmp_path: Path, folder: Folder) -> None:
    umask = os.umask(0o027)
    try:
        os.close(folder.file("file", os.O_RDWR | os.O_CREAT, 0o644))
        folder.replace("other", b"{}")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o640


def test_of_a_file_no_more_is_read_than_was_asked_for(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert folder.read("file", 4) == b"0123"
    assert folder.read("file", 4, tail=True) == b"6789"
    assert folder.read("file", 11) == folder.read("file", 11, tail=True) == b"0123456789"


@pytest.mark.parametrize("tail", [False, True], ids=["head", "tail"])
def test_a_file_of_three_gigabytes_costs_no_memory(
    tmp_path: Path, folder: Folder, tail: bool
) -> None:
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", 3 * 2**30)
    tracemalloc.start()
    try:
        assert folder.read("file", 2**16, tail=tail) == bytes(2**16)
        assert tracemalloc.get_traced_memory()[1] < 2**18
    finally:
        tracemalloc.stop()


def test_a_file_that_is_not_there_is_named(tmp_path: Path, folder: Folder) -> None:
    gone = errno.ENOENT, "No such file or directory", f"{tmp_path}/gone"
    for call in (folder.file, folder.folder, folder.remove, folder.status):
        assert refusal(lambda call=call: call("gone")) == gone  # type: ignore[misc]
    assert refusal(lambda: folder.rename("here", "gone")) == gone


def test_a_file_that_cannot_be_read_is_named() -> None:
    with open_root("/proc/self") as folder:
        assert refusal(lambda: folder.read("mem", 1))[::2] == (errno.EIO, "/proc/self/mem")


def test_a_link_is_removed_and_has_a_status_but_its_target_has_none(
    tmp_path: Path, folder: Folder
) -> None:
    (tmp_path / "file").write_text("key")
    (tmp_path / "link").symlink_to("file")
    assert stat.S_ISLNK(folder.status("link").st_mode)
    folder.remove("link")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_is_renamed_over_another_one(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    folder.rename("new", "old")
    assert (tmp_path / "old").read_text() == "new"
    assert folder.names() == ["old"]


# replacing


def test_a_document_takes_the_place_of_the_one_before(tmp_path: Path, folder: Folder) -> None:
    for document in (b"long" * 100, b"short"):
        folder.replace("file", document)
        assert (tmp_path / "file").read_bytes() == document
    assert folder.names() == ["file"]


def test_a_file_is_replaced_though_the_folder_was_moved(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with open_root(tmp_path / "old") as folder:
        (tmp_path / "old").rename(tmp_path / "new")
        (tmp_path / "old").symlink_to("/")
        folder.replace("file", b"{}")
    assert (tmp_path / "new/file").read_bytes() == b"{}"


def test_a_link_in_place_of_the_file_is_replaced_and_its_target_left_alone(
    tmp_path: Path, folder: Folder
) -> None:
    (tmp_path / "victim").write_text("key")
    (tmp_path / "file").symlink_to("victim")
    folder.replace("file", b"{}")
    assert (tmp_path / "victim").read_text() == "key"
    assert (tmp_path / "file").read_bytes() == b"{}"
    assert not (tmp_path / "file").is_symlink()


def test_a_pipe_in_place_of_the_file_is_replaced(tmp_path: Path, folder: Folder) -> None:
    os.mkfifo(tmp_path / "file")
    folder.replace("file", b"{}")
    assert (tmp_path / "file").read_bytes() == b"{}"


def test_a_folder_in_place_of_the_file_is_told_of_and_nothing_is_left_behind(
    tmp_path: Path, folder: Folder
) -> None:
    (tmp_path / "file").mkdir()
    words = errno.EISDIR, "Is a directory", f"{tmp_path}/file"
    assert refusal(lambda: folder.replace("file", b"{}")) == words
    assert folder.names() == ["file"]
    with pytest.raises(OSError, match=rf"Is a directory: '{tmp_path}/file'$"):  # and no " -> None"
        folder.replace("file", b"{}")


@pytest.mark.usefixtures("no_descriptor_is_left")
def test_a_document_that_does_not_fit_leaves_the_one_before(tmp_path: Path, folder: Folder) -> None:
    folder.replace("file", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        words = errno.EFBIG, "File too large", f"{tmp_path}/file"
        assert refusal(lambda: folder.replace("file", bytes(1001))) == words
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "file").read_bytes() == b"old"
    assert folder.names() == ["file"]


def test_a_disk_that_is_full_leaves_the_document_before(tmp_path: Path) -> None:
    with tmpfs(tmp_path), open_root(tmp_path) as folder:
        folder.replace("file", b"old")
        words = errno.ENOSPC, "No space left on device", f"{tmp_path}/file"
        assert refusal(lambda: folder.replace("file", bytes(2**20))) == words
        assert folder.read("file", 10) == b"old"
        assert folder.names() == ["file"]


# a file of the user's


def test_a_link_to_a_file_of_the_users_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", 4) == b"0123"


@pytest.mark.parametrize("make", SPECIAL[:1] + SPECIAL[2:])
@pytest.mark.usefixtures("no_descriptor_is_left")
def test_a_file_of_the_users_that_is_no_regular_one_is_refused(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "file")
    (tmp_path / "link").symlink_to("file")
    words = errno.EINVAL, "it is not a regular file", f"{tmp_path}/link"
    assert refusal(lambda: read_file(tmp_path / "link", 4)) == words
