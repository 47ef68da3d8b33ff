"""Raw messages out of MCAP and rosbag2-SQLite files, whoever wrote them and however they ended.

Files are data from strangers: sizes are limited, chunks unpack to no more than they declare and
not beyond a multiple of the file, links out of the bag's folder are not followed, and the folder's
metadata.yaml is not trusted (a killed recorder's is out of date anyway).
"""

from __future__ import annotations

import re
import sqlite3
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, breakup_chunk

from make_agent_ros.recording.errors import RecordingError

MAX_RECORD_BYTES = 64 << 20
"""Largest MCAP record, chunk or database row that is looked at."""
MAX_EXPANSION = 200
"""Unpacked bytes per byte of file, beyond `FREE_EXPANSION_BYTES`: more is a decompression bomb."""
FREE_EXPANSION_BYTES = 16 << 20
MAX_QUERY_S = 120.0
STORAGE_SUFFIXES = ('.mcap', '.db3')


@dataclass(frozen=True)
class RawMessage:
    """One recorded sample."""

    topic: str
    type: str
    log_ns: int
    publish_ns: int
    data: bytes


@dataclass
class Findings:
    """What was noticed while reading; filled in by `iter_messages`."""

    notes: list[str] = field(default_factory=list)
    """Sentences on what is missing or odd."""
    topics: dict[str, str] = field(default_factory=dict)
    """Every topic seen -> its type, wanted or not."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Text of the recorder's own metadata record."""


Wanted = Callable[[str], bool]
"""Whether messages of a type are asked for."""


def storage_files(path: Path) -> list[Path]:
    """Return the storage files of a bag (a folder or one file) in recording order.

    Raises:
        RecordingError: nothing there, nothing readable, or compressed files.
    """
    if path.is_file():
        if path.suffix not in STORAGE_SUFFIXES:
            raise RecordingError(
                f'{path}: {path.suffix or "no suffix"} is not a bag; expected a folder, '
                f'{" or ".join(STORAGE_SUFFIXES)}'
            )
        return [path]
    if not path.is_dir():
        raise RecordingError(f'{path}: no such file or folder')
    root = path.resolve()
    files = [
        entry
        for entry in path.iterdir()
        if entry.suffix in STORAGE_SUFFIXES and entry.resolve().parent == root and entry.is_file()
    ]
    if not files:
        packed = sorted(entry.name for entry in path.glob('*.zstd'))
        if packed:
            raise RecordingError(f'{path}: {packed[0]} is compressed; unpack it with zstd -d')
        raise RecordingError(f'{path}: holds no .mcap or .db3 file, so it is no bag')
    if len({entry.suffix for entry in files}) > 1:
        raise RecordingError(f'{path}: holds .mcap and .db3 files; name the one to read')
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), '') if part.isdecimal() else (-1, part)
            for part in re.findall(r'\d{1,18}|\D+', path.name)]  # fmt: skip


def iter_messages(path: str | Path, wanted: Wanted, findings: Findings) -> Iterator[RawMessage]:
    """Yield the wanted messages of a bag in the order they were recorded.

    Damage ends a file's messages early; `findings.notes` says what was lost.

    Raises:
        RecordingError: not a bag, or nothing of it can be read.
    """
    for file in storage_files(Path(path)):
        try:
            if file.stat().st_size == 0:
                findings.notes.append(f'{file.name} is empty: its recorder was killed at once')
                continue
            read = _mcap_messages if file.suffix == '.mcap' else _sqlite_messages
            yield from read(file, wanted, findings)
        except OSError as error:
            raise RecordingError(f'{file}: {error.strerror or error}') from error


class _Clamped:
    """A file that never allocates more than it holds, whatever length a record claims."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size

    def read(self, count: int = -1) -> bytes:
        left = self._size - self._stream.tell()
        return self._stream.read(left if count < 0 else min(count, left))


def _unpack(chunk: Chunk) -> Chunk:
    """Return the chunk with plain contents of exactly the declared size.

    Raises:
        RecordingError: unknown compression, or another size than declared.
    """
    size = chunk.uncompressed_size
    if size > MAX_RECORD_BYTES:
        raise RecordingError(f'a chunk declares {size} bytes, more than {MAX_RECORD_BYTES}')
    if chunk.compression == 'lz4':
        data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=size + 1)
    elif chunk.compression == 'zstd':
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_RECORD_BYTES).stream_reader(
            chunk.data
        )
        data = reader.read(size + 1)
    elif chunk.compression == '':
        data = chunk.data
    else:
        raise RecordingError(f'unknown compression {chunk.compression[:20]!r}')
    if len(data) != size:
        raise RecordingError(f'a chunk of {len(data)} bytes declares {size}')
    if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise RecordingError('a chunk has a wrong checksum')
    return replace(chunk, compression='', data=data)


_DAMAGE = (
    McapError, RecordingError, ValueError, KeyError, IndexError, EOFError, struct.error,
    OverflowError, UnicodeDecodeError, RuntimeError, zstandard.ZstdError, MemoryError,
)  # fmt: skip
"""What the MCAP library and the decompressors raise on damaged bytes."""


def _mcap_messages(path: Path, wanted: Wanted, findings: Findings) -> Iterator[RawMessage]:
    size = path.stat().st_size
    catalogue = _Catalogue(wanted, findings)
    damaged, unpacked = 0, 0
    with path.open('rb') as stream:
        if stream.read(8) != b'\x89MCAP0\r\n':
            raise RecordingError(f'{path}: does not begin like an MCAP file')
        reader = StreamReader(
            _Clamped(stream, size),  # type: ignore[arg-type]
            skip_magic=True, emit_chunks=True, record_size_limit=MAX_RECORD_BYTES,
        )  # fmt: skip
        records = reader.records
        while True:
            try:
                record = next(records, None)
            except _DAMAGE as error:
                if reader._footer is None:
                    lost = size - catalogue.good_until
                    why = (
                        f'cut off, damaged ({type(error).__name__}): the last {lost} bytes lost'
                        if lost
                        else 'cut off, its recorder was killed: all that reached the disk is read'
                    )
                    findings.notes.append(f'{path.name}: {why}')
                break
            if record is None:
                break
            inner: list[McapRecord] = [record]
            if isinstance(record, Chunk):
                unpacked += record.uncompressed_size
                if unpacked > FREE_EXPANSION_BYTES + MAX_EXPANSION * size:
                    raise RecordingError(
                        f'{path}: unpacks to more than {MAX_EXPANSION} times its size; refused'
                    )
                try:
                    inner = breakup_chunk(_unpack(record))
                except _DAMAGE:
                    damaged += 1
                    inner = []
            catalogue.good_until = stream.tell()
            for item in inner:
                message = catalogue.take(item)
                if message is not None:
                    yield message
    if damaged:
        findings.notes.append(f'{path.name}: {damaged} damaged chunks were left out')


class _Catalogue:
    """Schemas and channels seen so far in one MCAP file."""

    def __init__(self, wanted: Wanted, findings: Findings) -> None:
        self._wanted, self._findings = wanted, findings
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}
        self.good_until = 8

    def take(self, record: McapRecord) -> RawMessage | None:
        """Note a record; return it as a message if it is a wanted one."""
        if isinstance(record, Message):
            topic, message_type = self._channels.get(record.channel_id, ('', ''))
            if not message_type or not self._wanted(message_type):
                return None
            return RawMessage(
                topic, message_type, record.log_time, record.publish_time, record.data
            )
        if isinstance(record, Schema):
            self._schemas[record.id] = record.name
        elif isinstance(record, Channel):
            message_type = self._schemas.get(record.schema_id, '')
            self._channels[record.id] = (record.topic, message_type)
            if len(self._findings.topics) < 1000:
                self._findings.topics[record.topic[:200]] = message_type[:200]
        elif isinstance(record, Metadata) and record.name == 'make_agent_ros':
            self._findings.metadata.update(
                {str(k)[:100]: str(v)[:1000] for k, v in list(record.metadata.items())[:50]}
            )
        return None


def _sqlite_messages(path: Path, wanted: Wanted, findings: Findings) -> Iterator[RawMessage]:
    deadline = time.monotonic() + MAX_QUERY_S
    connection = sqlite3.connect(f'{path.resolve().as_uri()}?mode=ro&immutable=1', uri=True)
    try:
        # a hostile database can hold views that never end and rows that never fit
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 100_000)
        if hasattr(connection, 'setlimit'):  # Python 3.11
            connection.setlimit(getattr(sqlite3, 'SQLITE_LIMIT_LENGTH', 0), MAX_RECORD_BYTES)
        connection.execute('PRAGMA trusted_schema = OFF')
        # lets SQLite open a file that is shorter than its header says (the connection only reads)
        connection.execute('PRAGMA writable_schema = ON')
        kinds = dict(connection.execute('SELECT name, type FROM sqlite_master').fetchmany(1000))
        if kinds.get('topics') != 'table' or kinds.get('messages') != 'table':
            raise RecordingError(f'{path}: has no tables topics and messages, so it is no bag')
        topics = {
            int(key): (str(name)[:200], str(kind)[:200])
            for key, name, kind in connection.execute(
                'SELECT id, name, type FROM topics'
            ).fetchmany(1000)
        }
        findings.topics.update(dict(topics.values()))
        for key, stamp, data in connection.execute(
            'SELECT topic_id, timestamp, data FROM messages ORDER BY id'
        ):
            name, kind = topics.get(key, ('', ''))
            if kind and wanted(kind) and isinstance(data, bytes) and isinstance(stamp, int):
                yield RawMessage(name, kind, stamp, stamp, data)
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, RecordingError):
            raise
        findings.notes.append(f'{path.name} is damaged ({error}); what comes after is lost')
    finally:
        connection.close()
