"""A VFS between the real store and the disk: the default one of the very library that `_sqlite3` is linked with, with a
tap on each call that changes the disk, or, where calls are to fail, on each call. No compiler and no package: ctypes."""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any, Protocol

NAME = "powercut"
OK = 0
_JOURNAL_OR_WAL = 0x00000800 | 0x00080000
_CREATE = 0x00000004
_PRNG_SEED = 28

_File1 = CFUNCTYPE(c_int, c_void_p)
_FileIo = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_FileTruncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_FileSync = CFUNCTYPE(c_int, c_void_p, c_int)
_FileSize = CFUNCTYPE(c_int, c_void_p, c_void_p)
_FileMap = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_Access = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_void_p)


class _Methods(Structure):
    _fields_ = (
        ("iVersion", c_int), ("xClose", _File1), ("xRead", _FileIo), ("xWrite", _FileIo),
        ("xTruncate", _FileTruncate), ("xSync", _FileSync), ("xFileSize", _FileSize), ("xLock", c_void_p),
        ("xUnlock", c_void_p), ("xCheckReservedLock", c_void_p), ("xFileControl", c_void_p),
        ("xSectorSize", c_void_p), ("xDeviceCharacteristics", c_void_p), ("xShmMap", _FileMap),
        ("xShmLock", c_void_p), ("xShmBarrier", c_void_p), ("xShmUnmap", c_void_p), ("xFetch", c_void_p),
        ("xUnfetch", c_void_p),
    )  # fmt: skip


class _Vfs(Structure):
    _fields_ = (
        ("iVersion", c_int), ("szOsFile", c_int), ("mxPathname", c_int), ("pNext", c_void_p), ("zName", c_char_p),
        ("pAppData", c_void_p), ("xOpen", _Open), ("xDelete", _Delete), ("xAccess", _Access),
        ("xFullPathname", c_void_p), ("xDlOpen", c_void_p), ("xDlError", c_void_p), ("xDlSym", c_void_p),
        ("xDlClose", c_void_p), ("xRandomness", c_void_p), ("xSleep", c_void_p), ("xCurrentTime", c_void_p),
        ("xGetLastError", c_void_p), ("xCurrentTimeInt64", c_void_p), ("xSetSystemCall", c_void_p),
        ("xGetSystemCall", c_void_p), ("xNextSystemCall", c_void_p),
    )  # fmt: skip


class NotRun(Exception):
    """This machine can't have such a VFS; the text says why."""


class Tap(Protocol):
    """What is told of each call, from whichever thread made it. `before` may refuse it with one of SQLite's codes."""

    def before(self, call: str, name: str) -> int: ...
    def opened(self, name: str) -> None: ...
    def wrote(self, name: str, offset: int, data: bytes) -> None: ...
    def truncated(self, name: str, size: int) -> None: ...
    def synced(self, name: str, *, directory: bool) -> None: ...
    def deleted(self, name: str, *, directory: bool) -> None: ...


class Vfs:
    """One for each process. Files that no tap wants go to the disk as ever. `deep`: reads are tapped as well."""

    def __init__(self) -> None:
        self._library = _library()
        find = self._library.sqlite3_vfs_find
        find.restype, find.argtypes = POINTER(_Vfs), (c_char_p,)
        self._under = find(None)
        self._tap: Tap | None = None
        self._names: dict[int, str] = {}
        self._created: set[int] = set()
        self._tables: dict[tuple[int, bool], _Methods] = {}
        self._kept: list[Any] = []
        self._deep = False
        self._vfs = _Vfs.from_buffer_copy(self._under.contents)
        self._vfs.pNext, self._vfs.zName = None, NAME.encode()
        self._vfs.xOpen = self._keep(_Open(self._open))
        self._vfs.xDelete = self._keep(_Delete(self._delete))
        self._vfs.xAccess = self._keep(_Access(self._access))
        register = self._library.sqlite3_vfs_register
        register.argtypes = (POINTER(_Vfs), c_int)
        if register(ctypes.byref(self._vfs), 0) != OK:
            raise NotRun("SQLite refused another VFS")
        self._prove()

    @contextmanager
    def tapped(self, tap: Tap, *, deep: bool = False, salt: int = 1) -> Iterator[None]:
        """SQLite's own random numbers come from `salt` meanwhile, so that the same work writes the same bytes."""
        self._tap, self._deep = tap, deep
        self._seed(salt or 1)
        try:
            yield
        finally:
            self._tap, self._deep = None, False
            self._seed(0)

    def _seed(self, number: int) -> None:
        self._library.sqlite3_test_control(c_int(_PRNG_SEED), c_int(number & 0x7FFFFFFF), c_void_p(None))

    def _prove(self) -> None:
        """That the connections of Python's module go through here, and not to a copy of the library."""
        try:
            with sqlite3.connect(f"file:none?vfs={NAME}&mode=memory", uri=True):
                pass
        except sqlite3.Error as error:
            raise NotRun(f"Python's sqlite3 does not see the VFS: {error}") from error

    def _keep(self, made: Any) -> Any:
        self._kept.append(made)
        return made

    def _refused(self, call: str, name: str) -> int:
        return OK if self._tap is None or not name else self._tap.before(call, name)

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        short = _short(name)
        if code := self._refused("open", short):
            # SQLite asks the methods whether there is something to close.
            c_void_p.from_address(file).value = None
            return code
        code = self._under.contents.xOpen(ctypes.addressof(self._under.contents), name, file, flags, out)
        at = c_void_p.from_address(file)
        if code == OK and at.value and short:
            self._names[file] = short
            if flags & _CREATE and flags & _JOURNAL_OR_WAL:
                self._created.add(file)
            at.value = ctypes.addressof(self._methods(at.value))
            if self._tap is not None:
                self._tap.opened(short)
        return int(code)

    def _delete(self, _vfs: int, name: int | None, directory: int) -> int:
        short = _short(name)
        if code := self._refused("delete", short):
            return code
        code = self._under.contents.xDelete(ctypes.addressof(self._under.contents), name, directory)
        if code == OK and self._tap is not None:
            self._tap.deleted(short, directory=bool(directory))
        return int(code)

    def _access(self, _vfs: int, name: int | None, flags: int, out: int) -> int:
        if self._deep and (code := self._refused("access", _short(name))):
            return code
        return int(self._under.contents.xAccess(ctypes.addressof(self._under.contents), name, flags, out))

    def _methods(self, under: int) -> _Methods:
        """The file's own table with some of its entries replaced; made once for each kind of file."""
        if made := self._tables.get((under, self._deep)):
            return made
        was = _Methods.from_address(under)
        made = self._tables[under, self._deep] = _Methods.from_buffer_copy(was)
        made.xClose = self._keep(_File1(self._closing(was.xClose)))
        made.xWrite = self._keep(_FileIo(self._writing(was.xWrite)))
        made.xTruncate = self._keep(_FileTruncate(self._truncating(was.xTruncate)))
        made.xSync = self._keep(_FileSync(self._syncing(was.xSync)))
        if self._deep:
            made.xRead = self._keep(_FileIo(self._guarded("read", was.xRead)))
            made.xFileSize = self._keep(_FileSize(self._guarded("size", was.xFileSize)))
            made.xShmMap = self._keep(_FileMap(self._mapping(was.xShmMap)))
        return made

    def _closing(self, under: Callable[..., int]) -> Callable[..., int]:
        def close(file: int) -> int:
            self._names.pop(file, None)
            self._created.discard(file)
            return under(file)

        return close

    def _writing(self, under: Callable[..., int]) -> Callable[..., int]:
        def write(file: int, data: int, size: int, offset: int) -> int:
            name = self._names[file]
            if code := self._refused("write", name):
                return code
            if self._tap is not None:
                self._tap.wrote(name, offset, ctypes.string_at(data, size))
            return under(file, data, size, offset)

        return write

    def _truncating(self, under: Callable[..., int]) -> Callable[..., int]:
        def truncate(file: int, size: int) -> int:
            name = self._names[file]
            if code := self._refused("truncate", name):
                return code
            if self._tap is not None:
                self._tap.truncated(name, size)
            return under(file, size)

        return truncate

    def _syncing(self, under: Callable[..., int]) -> Callable[..., int]:
        def sync(file: int, flags: int) -> int:
            name = self._names[file]
            if code := self._refused("sync", name):
                return code
            if self._tap is None:
                return under(file, flags)
            # As SQLite does under unix: the first sync of a journal or a log syncs its directory too.
            self._tap.synced(name, directory=file in self._created)
            self._created.discard(file)
            return OK

        return sync

    def _guarded(self, call: str, under: Callable[..., int]) -> Callable[..., int]:
        def guarded(file: int, *args: Any) -> int:
            return self._refused(call, self._names.get(file, "")) or under(file, *args)

        return guarded

    def _mapping(self, under: Callable[..., int]) -> Callable[..., int]:
        def mapping(file: int, region: int, size: int, extend: int, out: int) -> int:
            code = self._refused("shm", self._names.get(file, ""))
            # It is its growth that fails: the index is opened all the same.
            return under(file, region, size, 0 if code else extend, out) or code

        return mapping


def _short(name: int | None) -> str:
    return Path(ctypes.string_at(name).decode()).name if name else ""


def _library() -> ctypes.CDLL:
    """By way of `_sqlite3` itself: what that was linked with, and no other copy."""
    if not hasattr(_sqlite3, "__file__"):
        raise NotRun("_sqlite3 is built into this Python: its SQLite can't be reached")
    library = ctypes.CDLL(_sqlite3.__file__)
    try:
        version = library.sqlite3_libversion
        for needed in ("sqlite3_vfs_find", "sqlite3_vfs_register", "sqlite3_test_control"):
            getattr(library, needed)
    except AttributeError as error:
        raise NotRun(f"_sqlite3 hides its SQLite: {error}") from error
    version.restype = c_char_p
    if version().decode() != sqlite3.sqlite_version:
        raise NotRun("_sqlite3 is linked with another SQLite than the one found")
    return library
