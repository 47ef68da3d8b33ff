"""rosbag2 bags with MCAP storage, written so that a crash costs less than a second.

Samples go in as the CDR bytes that DDS delivered; nothing is decoded. Chunks are closed and handed
to the operating system every `flush_s`, and `metadata.yaml` is on disk from the first moment on,
so a recorder that is killed leaves a bag whose files can be read up to the last flush.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import yaml
from mcap.writer import CompressionType, IndexType, Writer

from make_agent_ros.recording.disk import Syncer
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.messages import TOPIC_TYPES, plain_cdr, schema_text

CHUNK_BYTES = 1 << 18
"""Largest chunk; 0.26 s of lowstate and lowcmd at 500 Hz."""

ALWAYS = ('/lowstate', '/lowcmd')
"""Topics that every bag declares, recorded or not."""


class BagFullError(RecordingError):
    """The disk or the bag's own limit is reached; what was written stays readable."""


@dataclass
class _File:
    """One storage file of a bag; the last one of a bag is being written."""

    path: Path
    stream: BinaryIO
    writer: Writer
    channels: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    start_ns: int = 0
    end_ns: int = 0
    closed_size: int = 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.closed_size or self.stream.tell()


class BagWriter:
    """Writes one bag: a folder with `<name>_0.mcap`, `<name>_1.mcap` ... and `metadata.yaml`.

    One thread writes; `flush` and `close` come from that thread too.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        metadata: dict[str, str] | None = None,
        max_file_bytes: int = 0,
        max_file_s: float = 0.0,
        max_bag_bytes: int = 0,
        overwrite_oldest: bool = False,
        min_free_bytes: int = 100 << 20,
        flush_s: float = 0.25,
        sync_s: float = 5.0,
    ) -> None:
        """Create the bag.

        Args:
            path: folder to create; it must not exist or be empty.
            metadata: text that goes into every file's MCAP metadata record.
            max_file_bytes: begin a new file at this size; 0: never.
            max_file_s: begin a new file after this long; 0: never.
            max_bag_bytes: limit of the whole bag; 0: none.
            overwrite_oldest: at the limit delete the oldest file instead of refusing.
            min_free_bytes: refuse when the disk has less than this left.
            flush_s: samples reach the operating system at least this often.
            sync_s: and the disk at least this often (against power loss); 0: never.

        Raises:
            RecordingError: the folder exists with something in it, or cannot be made.
        """
        self.path = Path(path)
        self._metadata = dict(metadata or {})
        self._described = False
        self._syncer = Syncer()
        self._max_file_bytes, self._max_file_s = max_file_bytes, max_file_s
        self._max_bag_bytes, self._overwrite = max_bag_bytes, overwrite_oldest
        if max_bag_bytes and overwrite_oldest:
            # a quarter per file keeps at least three quarters of the history
            quarter = max(max_bag_bytes // 4, CHUNK_BYTES)
            self._max_file_bytes = min(max_file_bytes or quarter, quarter)
        self._min_free_bytes = min_free_bytes
        self._flush_s, self._sync_s = flush_s, sync_s
        self._files: list[_File] = []
        self._next_file = 0
        self._closed = False
        self._good_bytes = 0
        self._flush_at = self._sync_at = 0.0
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if any(self.path.iterdir()):
                raise RecordingError(f'{self.path} is not empty; record into a new folder')
            self._check_space()
            self._open_file()
        except OSError as error:
            raise RecordingError(f'{self.path}: {error.strerror or error}') from error

    @property
    def bytes_written(self) -> int:
        """Bytes of the bag on disk, the chunk in work not counted."""
        return sum(file.size for file in self._files)

    @property
    def message_count(self) -> int:
        """Samples in the bag."""
        return sum(self.topic_counts().values())

    def topic_counts(self) -> Counter[str]:
        """Samples per topic in the bag."""
        return sum((file.counts for file in self._files), Counter())

    @property
    def _file(self) -> _File:
        return self._files[-1]

    def describe(self, **metadata: str) -> None:
        """Add to the metadata; files finished from now on repeat all of it at their end."""
        self._metadata.update(metadata)
        self._described = True

    def write(
        self, topic: str, cdr_bytes: bytes, stamp_ns: int, publish_ns: int | None = None
    ) -> None:
        """Append one sample.

        Args:
            topic: a key of `messages.TOPIC_TYPES`.
            cdr_bytes: the sample with its encapsulation header.
            stamp_ns: when it was received, ns since the Unix epoch.
            publish_ns: when it was published, by the publisher's clock; `stamp_ns` if omitted.

        Raises:
            BagFullError: the disk or the bag's limit is reached. The bag has been closed.
            RecordingError: the bag is closed.
        """
        if self._closed:
            raise RecordingError(f'{self.path} is closed; begin a new bag')
        try:
            if self._file.counts and self._file_is_full(stamp_ns):
                self._split()
            file = self._file
            if topic not in file.channels:
                self._register(file, topic)
            count = file.counts[topic]
            file.writer.add_message(
                channel_id=file.channels[topic],
                log_time=stamp_ns,
                data=plain_cdr(cdr_bytes),
                publish_time=stamp_ns if publish_ns is None else publish_ns,
                sequence=count,
            )
            file.start_ns = min(file.start_ns or stamp_ns, stamp_ns)
            file.end_ns = max(file.end_ns, stamp_ns)
            file.counts[topic] = count + 1
            self.flush_if_due()
        except OSError as error:
            raise self._broken(error) from error

    def flush_if_due(self) -> None:
        """Hand what is buffered to the operating system when `flush_s` has passed.

        Raises:
            BagFullError: as `write`.
        """
        now = time.monotonic()
        if self._closed or now < self._flush_at:
            return
        try:
            self._flush(now)
            self._check_space()
        except OSError as error:
            raise self._broken(error) from error
        except BagFullError:
            self.close()
            raise

    def close(self) -> None:
        """Finish the file in work and write `metadata.yaml`; a second call does nothing."""
        if self._closed:
            return
        try:
            self._finish_file()
            self._write_metadata()
        except OSError as error:
            raise self._broken(error) from error
        self._closed = True

    def _flush(self, now: float) -> None:
        self._file.writer.flush()  # type: ignore[no-untyped-call]
        self._good_bytes = self._file.stream.tell()
        self._flush_at = now + self._flush_s
        if self._sync_s and now >= self._sync_at:
            self._syncer.begin(self._file.stream.fileno())
            self._sync_at = now + self._sync_s

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < self._min_free_bytes:
            raise BagFullError(
                f'{free >> 20} MiB free on the disk of {self.path}, less than the '
                f'{self._min_free_bytes >> 20} MiB to be left; recording stopped, what was '
                'recorded is kept. Free space, or record to another disk'
            )
        full = self._max_bag_bytes and self.bytes_written > self._max_bag_bytes
        if full and not self._overwrite:
            raise BagFullError(
                f'{self.path} has reached its limit of {self._max_bag_bytes} bytes; recording '
                'stopped, what was recorded is kept. Raise the limit or overwrite the oldest'
            )

    def _file_is_full(self, stamp_ns: int) -> bool:
        size, span = self._file.size, (stamp_ns - self._file.start_ns) / 1e9
        return bool(self._max_file_bytes and size >= self._max_file_bytes) or bool(
            self._max_file_s and span >= self._max_file_s
        )

    def _open_file(self) -> None:
        path = self.path / f'{self.path.name}_{self._next_file}.mcap'
        self._next_file += 1
        stream = path.open('xb')
        writer = Writer(
            stream, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4,
            index_types=IndexType.ALL,
        )  # fmt: skip
        self._files.append(_File(path, stream, writer))
        writer.start(profile='ros2', library='make_agent_ros')
        if self._metadata:
            writer.add_metadata('make_agent_ros', self._metadata)
        # known topics first, so that even an empty bag says what it would hold
        for topic in ALWAYS:
            self._register(self._file, topic)
        now = time.monotonic()
        self._sync_at = now + self._sync_s
        self._flush(now)
        self._write_metadata()

    def _register(self, file: _File, topic: str) -> None:
        message_type = TOPIC_TYPES[topic]
        schema = file.writer.register_schema(
            name=message_type, encoding='ros2msg', data=schema_text(message_type).encode()
        )
        file.channels[topic] = file.writer.register_channel(
            topic=topic,
            message_encoding='cdr',
            schema_id=schema,
            metadata={'offered_qos_profiles': ''},
        )

    def _split(self) -> None:
        # what is left of the old file since its last sync is little
        self._finish_file()
        while (
            self._overwrite
            and self._max_bag_bytes
            and len(self._files) > 1
            and self.bytes_written + self._max_file_bytes > self._max_bag_bytes
        ):
            self._files.pop(0).path.unlink(missing_ok=True)
        self._open_file()

    def _finish_file(self) -> None:
        file = self._file
        if self._described:
            file.writer.flush()  # type: ignore[no-untyped-call]
            file.writer.add_metadata('make_agent_ros', self._metadata)
        file.writer.finish()  # type: ignore[no-untyped-call]
        file.stream.flush()
        if self._sync_s:
            os.fdatasync(file.stream.fileno())
        file.closed_size = file.stream.tell()
        file.stream.close()

    def _broken(self, error: OSError) -> BagFullError:
        """Keep what reached the disk: cut the half-written chunk off, close, say why."""
        self._closed = True
        file = self._file
        with suppress(OSError):
            file.stream.close()  # tries once more to write what just failed
        # where cutting fails as well, the reader copes with the half chunk
        with suppress(OSError):
            os.truncate(file.path, self._good_bytes)
        file.closed_size = self._good_bytes
        return BagFullError(
            f'{self.path}: {error.strerror or error}; recording stopped, what was recorded until '
            f'{self._flush_s:g} s ago is kept. Free space, or record to another disk'
        )

    def _write_metadata(self) -> None:
        part = self.path / 'metadata.yaml.part'
        part.write_text(yaml.safe_dump(_metadata(self._files), sort_keys=False), encoding='utf-8')
        part.replace(self.path / 'metadata.yaml')


def _metadata(files: list[_File]) -> dict[str, object]:
    """The contents of metadata.yaml, version 5: read by ROS 2 Galactic and everything newer."""
    counts: Counter[str] = sum((file.counts for file in files), Counter())
    used = [file for file in files if file.counts]
    start_ns = min((file.start_ns for file in used), default=0)
    end_ns = max((file.end_ns for file in used), default=0)
    topics = [
        {
            'topic_metadata': {
                'name': topic,
                'type': TOPIC_TYPES[topic],
                'serialization_format': 'cdr',
                'offered_qos_profiles': '',
            },
            'message_count': counts[topic],
        }
        for topic in dict.fromkeys((*ALWAYS, *counts))
    ]
    entries = [
        {
            'path': file.path.name,
            'starting_time': {'nanoseconds_since_epoch': file.start_ns},
            'duration': {'nanoseconds': file.end_ns - file.start_ns},
            'message_count': sum(file.counts.values()),
        }
        for file in files
    ]
    return {
        'rosbag2_bagfile_information': {
            'version': 5,
            'storage_identifier': 'mcap',
            'duration': {'nanoseconds': end_ns - start_ns},
            'starting_time': {'nanoseconds_since_epoch': start_ns},
            'message_count': sum(counts.values()),
            'topics_with_message_count': topics,
            'compression_format': '',
            'compression_mode': '',
            'relative_file_paths': [file.path.name for file in files],
            'files': entries,
        }
    }
