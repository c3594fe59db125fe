"""Python imports this before anything else, in children too: it writes down what no conversion may do.

One JSON line an event to the file $AUDIT_LOG. $AUDIT_MODEL is the folder of the checkpoint, $AUDIT_ROOT the one that may be
written to. Code that runs in C++ does not pass here; the payloads' own traces tell of it.
"""

import json
import os
import sys

LOG = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
MODEL = os.path.realpath(os.environ["AUDIT_MODEL"])
ROOT = os.path.realpath(os.environ["AUDIT_ROOT"])
MODULES = f"{ROOT}/hf/modules"
"""Where transformers copies a checkpoint's code to before it runs it."""
CALLS = {"os.system", "os.exec", "os.posix_spawn", "os.startfile", "pty.spawn"}


def note(event: str, what: object) -> None:
    os.write(LOG, (json.dumps([event, str(what)[:300]]) + "\n").encode())


def inside(path: object, folder: str) -> bool:
    if not isinstance(path, (str, bytes)) or not path or str(path).startswith("<"):
        return False
    full = os.path.realpath(os.fsdecode(path))
    return full == folder or full.startswith(folder + os.sep)


def code(event: str, name: object) -> None:
    if inside(name, MODEL) or inside(name, MODULES):
        note(event, name)


def written(args: tuple) -> None:
    path, _, flags = args
    if isinstance(path, int) or not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    name = os.path.realpath(os.fsdecode(path))
    if inside(name, MODEL) or not (inside(name, ROOT) or name.startswith(("/dev/", "/proc/"))):
        note("open", name)


def started(args: tuple) -> None:
    """Allowed are edgeconv's own children, and what Python itself asks: the place of a library, the kind of processor."""
    executable, line = args[0], list(args[1])
    if line in (["/sbin/ldconfig", "-p"], ["uname", "-p"]):
        return
    if executable == sys.executable and line[1:3] == ["-I", "-S"] and line[3].endswith("/core/worker_child.py"):
        return
    if executable != sys.executable or line[1:3] != ["-P", "-m"] or not line[3].startswith("edgeconv."):
        note("subprocess.Popen", [executable, line])


def hook(event: str, args: tuple) -> None:
    if event == "exec":
        code(event, args[0].co_filename)
    elif event in ("compile", "import"):
        code(event, args[1])
    elif event == "ctypes.dlopen" and os.sep in str(args[0]):  # a bare name is not looked for in the present folder
        code(event, args[0])
    elif event == "open":
        written(args)
    elif event == "subprocess.Popen":
        started(args)
    elif event in CALLS:
        note(event, args)
    elif event in ("socket.connect", "socket.getaddrinfo"):
        note(event, args[1:] if event == "socket.connect" else args[:2])
    elif event == "pickle.find_class":
        note(event, args)


sys.addaudithook(hook)
