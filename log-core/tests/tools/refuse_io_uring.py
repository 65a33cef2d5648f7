"""Runs a program whose io_uring_setup fails with the given errno, by a seccomp filter.

    python3 refuse_io_uring.py ERRNO PROGRAM ARGUMENT...

The project's own tool for fault rows 41 and the like. Numbers of the io_uring calls are the same on
every architecture (425 is io_uring_setup). Licence: Apache-2.0, as the rest.
"""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
IO_URING_SETUP = 425


def step(code, if_true, if_false, value):
    return struct.pack("HBBI", code, if_true, if_false, value)


def main():
    errno, program = int(sys.argv[1]), sys.argv[2:]
    filter_bytes = b"".join(
        [
            step(LOAD_WORD, 0, 0, 0),  # the number of the call
            step(JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
            step(RETURN, 0, 0, RET_ERRNO | errno),
            step(RETURN, 0, 0, RET_ALLOW),
        ]
    )
    steps = ctypes.create_string_buffer(filter_bytes)
    described = struct.pack("HxxxxxxP", len(filter_bytes) // 8, ctypes.addressof(steps))
    described = ctypes.create_string_buffer(described)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("no_new_privs was refused: " + os.strerror(ctypes.get_errno()))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described) != 0:
        sys.exit("the filter was refused: " + os.strerror(ctypes.get_errno()))
    os.execv(program[0], program)


main()
