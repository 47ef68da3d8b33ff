"""Bringing a file that grows to the disk without waiting for it."""

from __future__ import annotations

import os
import threading


class Syncer:
    """Brings files to the disk in threads of their own: a slow disk must not hold up samples."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._error: OSError | None = None

    def begin(self, fileno: int) -> None:
        """Sync what the file holds now; nothing while the disk still works on the last time.

        Raises:
            OSError: an earlier sync failed.
        """
        if self._error is not None:
            raise self._error
        if self._busy.acquire(blocking=False):
            # the file may be closed or deleted before the disk is done with it
            threading.Thread(target=self._sync, args=(os.dup(fileno),), daemon=True).start()

    def _sync(self, fileno: int) -> None:
        try:
            os.fdatasync(fileno)
        except OSError as error:
            self._error = error
        finally:
            os.close(fileno)
            self._busy.release()
