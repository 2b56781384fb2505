"""The tree keeps its own rules; and each rule is seen to complain when it is broken."""

import os
import subprocess

import pytest

import record
import tree

BUILD = os.environ.get("GONETS_BUILD", os.path.join(record.ROOT, "build"))


def none(complaints):
    lines = list(complaints)
    assert not lines, "\n" + "\n".join(lines)


def test_includes():
    none(tree.check_includes(record.ROOT, tree.test_helpers(record.ROOT, BUILD)))


def test_symbols_and_static_variables():
    none(tree.check_objects(record.ROOT, BUILD))


def test_sizes():
    none(tree.check_sizes(record.ROOT))


def test_names():
    none(tree.check_names(record.ROOT))


def test_nothing_tells_of_the_machine():
    none(tree.check_machine(record.ROOT))


def test_scripts():
    none(tree.check_scripts(record.ROOT))


def test_manuals():
    none(tree.check_manuals(record.ROOT))


def test_programs_are_hardened():
    assert tree.programs(BUILD)
    none(tree.check_asserts(BUILD))
    none(complaint for program in tree.programs(BUILD) for complaint in tree.check_hardening(program))


# ---- the checks themselves ----


def plant(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


GOOD = {
    "src/base/view.h": "#include <stddef.h>\n",
    "src/os/os.h": '#include "base/view.h"\n',
    "src/smtp/reply.c": '#include "smtp/reply.h"\n#include <string.h>\n',
    "src/smtp/reply.h": '#include "base/view.h"\n',
    "src/smtp/reply_test.c": "#include <stdio.h>\n",
    "src/os/linux/file.c": '#include "os/os.h"\n#include <unistd.h>\n',
    "src/gonets/main.c": '#include "os/linux/linux.h"\n',
}


@pytest.mark.parametrize("file, text, complaint", [
    ("src/smtp/a.c", '#include "os/os.h"\n', "smtp may not use os/os.h"),
    ("src/smtp/a.c", '#include "ipc/ipc.h"\n', "smtp may not use ipc/ipc.h"),
    ("src/smtp/a.c", '#include "spool/spool.h"\n', "smtp may not use spool/spool.h"),
    ("src/base/a.c", '#include "smtp/reply.h"\n', "base may not use smtp/reply.h"),
    ("src/os/linux/a.c", '#include "smtp/reply.h"\n', "os/linux may not use smtp/reply.h"),
    ("src/spool/a.c", '#include "os/linux/linux.h"\n', "spool may not use os/linux/linux.h"),
    ("src/spool/a.c", "#include <unistd.h>\n", "spool may not include <unistd.h>"),
    ("src/smtp/a.c", "#include <stdio.h>\n", "smtp may not include <stdio.h>"),
    ("src/smtp/a.c", "  #  include <errno.h>\n", "smtp may not include <errno.h>"),
    ("src/smtp/a.c", '#include "reply.h"\n', "not written from src/"),
])
def test_include_is_refused(tmp_path, file, text, complaint):
    plant(tmp_path, GOOD)
    none(tree.check_includes(tmp_path))
    plant(tmp_path, {file: text})
    assert complaint in "\n".join(tree.check_includes(tmp_path))


def test_circle_is_refused(tmp_path):
    plant(tmp_path, {"src/smtp/a.h": '#include "mail/b.h"\n'})
    none(tree.check_includes(tmp_path))
    plant(tmp_path, {"src/mail/b.h": '#include "smtp/a.h"\n'})
    assert "mail uses itself through others" in tree.check_includes(tmp_path)


def compiled(root, files):
    """Complaints about the objects of these sources."""
    plant(root, files)
    commands = []
    for name in files:
        output = name.replace("/", "_") + ".o"
        subprocess.run(["gcc", "-O1", "-fPIE", "-c", "-w", name, "-o", output], cwd=root, check=True)
        commands.append(f'{{"directory": "{root}", "file": "{name}", "output": "{output}"}}')
    plant(root, {"compile_commands.json": f"[{','.join(commands)}]"})
    return list(tree.check_objects(str(root), str(root)))


@pytest.mark.parametrize("file, text, complaint", [
    ("src/smtp/a.c", "int printf(const char *, ...); void f(int n) { printf(\"%d\", n); }", "may not use printf"),
    ("src/spool/a.c", "long time(long *); long f(void) { return time(0); }", "may not use time"),
    ("src/spool/a.c", "#include <errno.h>\nint f(void) { return errno; }", "may not use __errno_location"),
    ("src/smtp/a.c", "#include <ctype.h>\nint f(int c) { return isalpha(c); }", "may not use __ctype_b_loc"),
    ("src/smtp/a.c", "extern char **environ; char **f(void) { return environ; }", "may not use environ"),
    ("src/smtp/a.c", "int os_now_us(void *); int f(void) { return os_now_us(0); }", "may not use os_now_us of os"),
    ("src/spool/a.c", "int os_linux_new(void); int f(void) { return os_linux_new(); }", "may not use os_linux_new"),
    ("src/base/a.c", "int reply(void); int f(void) { return reply(); }", "may not use reply of smtp"),
    ("src/smtp/a.c", "int f(void) { static int n; return n++; }", "can be written"),
    ("src/smtp/a.c", "int count = 1;", "can be written"),
    ("src/os/mem/a.c", "_Thread_local int n;", "can be written"),
])
def test_symbol_is_refused(tmp_path, file, text, complaint):
    complaints = compiled(tmp_path, {"src/smtp/reply.c": "int reply(void) { return 1; }", file: text})
    assert complaint in "\n".join(complaints)


def test_good_objects_pass(tmp_path):
    none(compiled(tmp_path, {
        "src/base/a.c": "const char *const names[] = {\"a\", \"b\"};\nint twice(int n) { return 2 * n; }",
        "src/smtp/a.c": "#include <string.h>\n#include <stdlib.h>\nextern int twice(int);\n"
                        "char *f(size_t n, int m) { char *p = malloc(n); return memset(p, twice(m), n); }",
        "src/spool/a.c": "int os_now_us(void *); int f(void) { return os_now_us(0); }",
        "src/os/linux/a.c": "#include <errno.h>\nint counter;\nint last(void) { return errno + counter++; }",
    }))


def function(lines, body="    n++;"):
    return "static void grow(int n)\n{\n" + f"{body}\n" * lines + "}\n"


@pytest.mark.parametrize("file, text, complaint", [
    ("src/smtp/a.c", function(81), "grow has 81 lines"),
    ("src/smtp/a.c", "int n;\n" * 801, "801 lines"),
    ("src/smtp/a.c", function(1, "#ifdef __linux__\n    n++;\n#endif"), "grow has an #if inside"),
])
def test_size_is_refused(tmp_path, file, text, complaint):
    plant(tmp_path, {"src/smtp/b.c": function(80) + "\n#ifdef X\n" + function(1) + "#endif\n"})
    table = "    static const int rows[] = {\n" + "        1,\n" * 100 + "    };"
    plant(tmp_path, {"src/smtp/c.c": function(1, table)})
    none(tree.check_sizes(tmp_path))
    plant(tmp_path, {file: text})
    assert complaint in "\n".join(tree.check_sizes(tmp_path))


def test_other_refusals(tmp_path):
    plant(tmp_path, {"src/base/string_list.c": "", "good.sh": "#!/bin/sh\ntrue\n", "man/a.1": ""})
    none([*tree.check_names(tmp_path), *tree.check_machine(tmp_path), *tree.check_scripts(tmp_path)])
    plant(tmp_path, {
        "src/base/util.c": "",
        "README.md": f"see {tmp_path}/x, {tree.HOSTS[0]}\n",
        "bad.sh": "#!/bin/sh\nif true\n",
        "man/a.1": ".Dd today\n.Dt A 1\n.Os\n.Sh NAMES\nx\n",
    })
    assert "src/base/util.c" in "\n".join(tree.check_names(tmp_path))
    assert len(list(tree.check_machine(tmp_path))) == 2
    assert "bad.sh" in "\n".join(tree.check_scripts(tmp_path))
    assert "man/a.1" in "\n".join(tree.check_manuals(tmp_path))


def test_soft_program_is_refused(tmp_path):
    plant(tmp_path, {"a.c": "int main(void) { return 0; }\n", "compile_commands.json": "cc -DNDEBUG=1"})
    assert tree.check_asserts(tmp_path)
    flags = ["-no-pie", "-Wl,-z,norelro", "-Wl,-z,execstack", "-fno-stack-protector"]
    subprocess.run(["gcc", *flags, "a.c", "-o", "soft"], cwd=tmp_path, check=True, capture_output=True)
    assert len(tree.check_hardening(str(tmp_path / "soft"))) == len(tree.HARDENING)
