"""Every run is one file: written as it happens, found again, searched, erased.

    20261121-172020-461716-35b41234.part     a run under way: its lines as they happen
    20261121-172020-461716-35b41234.jsonl    a run that has ended: the request, the events, `done`
    pictures/SHA256                          bytes of a picture that could not be read again

Law:
1. A `.jsonl` is *whole*: it was written beside its place in one go, synced and renamed, and it is
   never written again. Each of its lines is a whole record, the first the request. The last is
   `done`, unless the run was killed or failed.
2. A run is *committed* when it is a `.jsonl`, and that is before `Done` leaves `record`. So what a
   screen or a script saw end is there, whatever comes next.
3. A `.part` is locked (`flock`) by who writes it, and the kernel takes the lock away when that
   process ends, however that happens. A `.part` that nobody locks is a run that was killed: it is
   read up to its last whole line and listed as killed. The next run that is saved makes a `.jsonl`
   of it.
4. Nothing erases a run that is being written.
5. Names sort by time (UTC) and end in eight random digits, the run's id; they are made with
   O_EXCL, so two processes never share one.
6. Folders are 0700, files 0600. Failing to save never costs the answer: it is a notice.

Reading changes nothing on the disk. Not covered: a file system without locks, where a run that was
killed counts as being written; and files that were edited by hand.
"""

from __future__ import annotations

from qvq_mlx.history.files import File, files, find_file
from qvq_mlx.history.reading import Run, find, last, load, newest
from qvq_mlx.history.writing import record, settle
from qvq_mlx.records.history import Ending

__all__ = [
    "Ending",
    "File",
    "Run",
    "files",
    "find",
    "find_file",
    "last",
    "load",
    "newest",
    "record",
    "settle",
]
