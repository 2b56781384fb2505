#!/usr/bin/python3
"""What holds for the tree as a whole: who may use whom, sizes, names. Each check returns its complaints as lines.
Run alone it prints all of them, and the figures."""

import json
import os
import re
import statistics
import subprocess
import sys

from record import ROOT, tree_files

FUNCTION_LINES_MAX = 80
FILE_LINES_MAX = 800

# Lower may not use higher; on one level there are no circles.
LEVELS = {
    "base": 0,
    "os": 1, "os/linux": 1, "os/mem": 1,
    "smtp": 2, "mail": 2, "auth": 2, "conf": 2, "ipc": 2,
    "spool": 3, "queue": 3, "deliver": 3, "policy": 3,
    "gonetsd": 4, "gonets": 4, "sim": 4,
}
PURE = {"base", "smtp", "mail", "auth"}  # these do not even ask others to do I/O
PLATFORMS = {"os/linux", "os/mem"}       # chosen at link time: named only where a program or a world is put together
SYSTEM_HEADERS = {"assert.h", "inttypes.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdlib.h",
                  "string.h"}
STDIO = {"stdio.h"}  # for vsnprintf; the symbols say that it is for nothing else
POOR_NAMES = re.compile(r"^(utils?|misc|common|helpers?|stuff)\b")


def read(root, file):
    with open(os.path.join(root, file), encoding="utf-8", errors="replace") as text:
        return text.read()


def c_files(root):
    return [f for f in tree_files(root) if f.endswith((".c", ".h"))]


def is_test(file):
    return file.endswith(("_test.c", "_test.h", "/test.h")) or file.startswith(("test/", "fuzz/", "bench/"))


def module_of(file):
    """src/smtp/reply.c -> smtp, src/os/linux/file.c -> os/linux; None outside of the modules."""
    folder = os.path.dirname(file).removeprefix("src/")
    return folder if folder in LEVELS else None


# ---- who may use whom ----


def may_use(user, used, puts_together=False):
    if user == used:
        return True
    if used in PLATFORMS:
        return puts_together
    if user in PURE and used not in PURE:
        return False
    return LEVELS[used] <= LEVELS[user]


def puts_together(file):
    """A program joins roles and platform: the server in one file, the command in each; so do the simulated worlds."""
    return os.path.basename(file) == "main.c" or module_of(file) in ("gonets", "sim")


def circles(edges):
    """The modules that use each other, directly or through others."""
    def reachable(start):
        found, todo = set(), [start]
        while todo:
            new = edges.get(todo.pop(), set()) - found
            found |= new
            todo += new
        return found
    return sorted(m for m in edges if m in reachable(m))


def check_includes(root, helpers=()):
    """helpers: files that serve the tests alone."""
    complaints, edges = [], {}
    for file in c_files(root):
        user = module_of(file)
        if not user or is_test(file) or file in helpers:
            continue
        for line, name in re.findall(r'^(\s*#\s*include\s*"([^"]+)")', read(root, file), re.M):
            used = module_of("src/" + name) or module_of(name)
            if not used:
                complaints.append(f"{file}: {line.strip()} is not written from src/")
            elif not may_use(user, used, puts_together(file)):
                complaints.append(f"{file}: {user} may not use {name}")
            elif user != used:
                edges.setdefault(user, set()).add(used)
        if user != "os/linux":
            allowed = SYSTEM_HEADERS if user in PURE - {"base"} else SYSTEM_HEADERS | STDIO
            for name in re.findall(r"^\s*#\s*include\s*<([^>]+)>", read(root, file), re.M):
                if name not in allowed:
                    complaints.append(f"{file}: {user} may not include <{name}>")
    return complaints + [f"{module} uses itself through others" for module in circles(edges)]


# ---- objects ----

SYMBOL = re.compile(r"^[0-9a-f]{16} (.{7}) (\S+)\t([0-9a-f]{16}) (?:\.\w+ )?(\S+)$", re.M)
PLATFORM_CALL = re.compile(r"os_(?!linux_|mem_)")  # of os/os.h, whichever platform is linked
WRITABLE = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*)")


def symbols(path):
    """(name, section, size, global?) of each symbol that an object defines or (in *UND*) needs."""
    table = subprocess.run(["objdump", "-t", path], check=True, capture_output=True, text=True).stdout
    return [(name, section, int(size, 16), flags[0] in "gu" or section == "*UND*")
            for flags, section, size, name in SYMBOL.findall(table) if "d" not in flags and "f" not in flags]


def compiled(root, build):
    """(source, object, whether for a test) of everything that the build compiles."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as commands:
        for entry in json.load(commands):
            source = os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)
            for_test = is_test(source) or entry["output"].startswith("test-")
            yield source, os.path.join(entry["directory"], entry["output"]), for_test


def objects(root, build):
    """{source: object} of the modules, without what is for tests."""
    return {source: path for source, path, for_test in compiled(root, build) if module_of(source) and not for_test}


def test_helpers(root, build):
    """Sources that are compiled for tests alone."""
    return {source for source, _, for_test in compiled(root, build) if for_test} - set(objects(root, build))


def allowed_symbols(text):
    allowed, section = {}, None
    for line in text.splitlines():
        if line.startswith("["):
            section = allowed.setdefault(line.strip("[] "), set())
        elif line.strip() and not line.startswith("#"):
            section.update(line.split())
    return allowed


def check_objects(root, build):
    allowed = allowed_symbols(read(ROOT, "test/symbols.txt"))
    tables = {source: symbols(path) for source, path in objects(root, build).items()}
    definers = {}
    for source, table in tables.items():
        for name, section, _, is_global in table:
            if is_global and section != "*UND*":
                definers.setdefault(name, set()).add(module_of(source))
    complaints = []
    for source, table in tables.items():
        if module_of(source) != "os/linux":
            complaints += complaints_of_object(source, table, definers, allowed)
    return complaints


def complaints_of_object(source, table, definers, allowed):
    user = module_of(source)
    for name, section, size, _ in table:
        if section == "*UND*" and (name in definers or PLATFORM_CALL.match(name)):
            used = {"os"} if PLATFORM_CALL.match(name) else definers[name]
            if not any(may_use(user, u, puts_together(source)) for u in used):
                yield f"{source}: {user} may not use {name} of {' or '.join(sorted(used))}"
        elif section == "*UND*" and name != "_GLOBAL_OFFSET_TABLE_":
            if name not in allowed["all"] | allowed.get(user, set()) | allowed.get(os.path.basename(source), set()):
                yield f"{source}: {user} may not use {name}"
        elif WRITABLE.match(section) and size > 0:
            yield f"{source}: {name} is a static variable that can be written"


# ---- programs ----

# What readelf must say of a program that is installed, and what for.
HARDENING = [
    (r"Type:\s+DYN \(Position-Independent", "position independent"),
    (r"^\s*GNU_RELRO", "relocations read-only"),
    (r"FLAGS.*\bBIND_NOW|FLAGS_1.*\bNOW", "relocations at the start"),
    (r"^\s*GNU_STACK\s.* RW ", "stack not executable"),
    (r" __stack_chk_fail", "stack protector"),
    (r" __\w+_chk\b", "sizes checked in libc calls"),
]


def programs(build):
    output = subprocess.check_output(["/usr/bin/meson", "introspect", "--targets", build], text=True)
    return [t["filename"][0] for t in json.loads(output) if t["type"] == "executable" and t["installed"]]


def check_asserts(build):
    """Asserts are on in what is shipped too."""
    commands = read(build, "compile_commands.json")
    return ["asserts are off: the build defines NDEBUG"] if "-DNDEBUG" in commands else []


def check_hardening(path):
    facts = subprocess.run(["readelf", "-Whlds", path], check=True, capture_output=True, text=True).stdout
    return [f"{os.path.basename(path)}: {what} is missing" for pattern, what in HARDENING
            if not re.search(pattern, facts, re.M)]


# ---- sizes and shapes ----


def without_tables(body):
    """The lines of a function without those of its constant tables, which are data."""
    inside = False
    for line in body:
        if re.match(r"    static const .*= \{$", line):
            inside = True
        if not inside:
            yield line
        if line == "    };":
            inside = False


def functions(text):
    """(name, first line, lines of the body, the body); relies on the layout of .clang-format."""
    lines = text.splitlines()
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = " ".join(lines[max(0, start - 6):start])
            names = re.findall(r"(\w+)\((?=[^;{}]*$)", head)
            body = list(without_tables(lines[start + 1:number]))
            yield names[0] if names else "?", start + 1, len(body), body
            start = None


def check_sizes(root):
    for file in c_files(root):
        text = read(root, file)
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            yield f"{file}: {lines} lines, more than {FILE_LINES_MAX}"
        for name, first, length, body in functions(text):
            if length > FUNCTION_LINES_MAX:
                yield f"{file}:{first}: {name} has {length} lines, more than {FUNCTION_LINES_MAX}"
            if any(re.match(r"\s*#\s*(if|elif)", line) for line in body):
                yield f"{file}:{first}: {name} has an #if inside"


def check_names(root):
    for file in tree_files(root):
        if POOR_NAMES.match(os.path.basename(file)):
            yield f"{file}: the name does not tell the subject"


def figures(root):
    files = [f for f in c_files(root) if not is_test(f)]
    sizes = sorted((length, name, file) for file in files for name, _, length, _ in functions(read(root, file)))
    if not sizes:
        return "no functions"
    length, name, file = sizes[-1]
    return (f"{len(files)} files, {len(sizes)} functions: median {statistics.median(s[0] for s in sizes):g} lines, "
            f"longest {length} ({name} in {file})")


# ---- text ----

# Written in two parts, so that this file does not name them.
HOSTS = ["deb.debian" ".org", "pypi" ".org", "files.python" "hosted", "registry" ".npmjs", "crates" ".io", "docker" ".io",
         "ghcr" ".io", "proxy.golang" ".org", "artifact" "registry"]


def check_machine(root):
    """No file says where it was made, or from whose registry."""
    told = ["/wo" "rk/", "/ro" "ot/", ".pyenv" "/", os.path.realpath(root) + "/", *HOSTS]
    for file in tree_files(root):
        text = read(root, file)
        yield from (f"{file}: names {word}" for word in told if word in text)


def first_line(root, file):
    return read(root, file).split("\n", 1)[0]


def check_scripts(root):
    for file in tree_files(root):
        if re.match(r"#! ?/bin/(ba|da)?sh\b", first_line(root, file)):
            done = subprocess.run(["sh", "-n", os.path.join(root, file)], capture_output=True, text=True, check=False)
            if done.returncode:
                yield f"{file}: {done.stderr.strip()}"


def check_manuals(root):
    for file in tree_files(root):
        if re.match(r"man/.*\.\d$", file):
            line = ["mandoc", "-Tlint", "-Wwarning", os.path.join(root, file)]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            if done.returncode:
                yield f"{file}: {done.stdout.strip()}"


def main():
    build = os.path.join(ROOT, "build")
    checks = [check_sizes, check_names, check_machine, check_scripts, check_manuals]
    complaints = [complaint for check in checks for complaint in check(ROOT)]
    complaints += check_includes(ROOT, test_helpers(ROOT, build)) + check_objects(ROOT, build) + check_asserts(build)
    complaints += [complaint for program in programs(build) for complaint in check_hardening(program)]
    print(*complaints, figures(ROOT), sep="\n")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
