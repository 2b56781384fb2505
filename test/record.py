"""What the last `make test` found, and of which tree: written by test/run, read by test/hazards."""

import hashlib
import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS = os.path.join(ROOT, "test", "results")


def git(root, *args):
    """The lines a git command prints; none when this is no clone. The owner of the clone may be another user."""
    command = ["git", "-c", "safe.directory=*", "-C", root, *args]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def walked(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(("build", "__pycache__", ".git"))]
        yield from (os.path.relpath(os.path.join(folder, name), root) for name in names)


def tree_files(root=ROOT):
    """Every file of the tree, new ones too, as paths from its top; not what git ignores."""
    names = git(root, "ls-files", "-co", "--exclude-standard") or walked(root)
    return sorted(n for n in set(names) if os.path.isfile(os.path.join(root, n)))


def tree_hash(root=ROOT):
    total = hashlib.sha256()
    for name in tree_files(root):
        with open(os.path.join(root, name), "rb") as file:
            total.update(name.encode() + b"\0" + hashlib.sha256(file.read()).digest())
    return total.hexdigest()[:16]


def save(tree, tests):
    commit = git(ROOT, "rev-parse", "--short", "HEAD") or ["no commit"]
    with open(RESULTS, "w", encoding="utf-8") as file:
        json.dump({"commit": commit[0], "tree": tree, "tests": tests}, file, indent=1)


def load():
    try:
        with open(RESULTS, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
