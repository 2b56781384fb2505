"""The ways in: what the packages' list, the runner and the list of hazards themselves promise."""

import importlib.machinery
import importlib.util
import os
import subprocess

import record


def script(name):
    """A script of this folder as a module."""
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(record.ROOT, "test", name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


CMOCKA = """[==========] Running 3 test(s).
[ RUN      ] test_good
[       OK ] test_good
[ RUN      ] test_bad
[  ERROR   ] --- 1 != 2
[  FAILED  ] test_bad
[ RUN      ] test_skipped
[  SKIPPED ] test_skipped
[ RUN      ] test_crashed
"""


def test_only_ok_is_a_pass():
    cases = [(name, passed) for name, passed, _ in script("run").cmocka_cases(CMOCKA)]
    assert cases == [("test_good", True), ("test_bad", False), ("test_skipped", False), ("test_crashed", False)]


def test_what_takes_too_long_is_ended():
    status, output = script("run").command(["sh", "-c", "echo begun; sleep 60 & sleep 60"], 0.2, dict(os.environ))
    assert status != 0 and "begun" in output and "ended after" in output


def test_tags():
    hazards = script("hazards")
    text = """/* H1 H22: why */
static void test_a(void **state)
{
}

/* H3 is not before a test */
int other;

/* About H4. */
static void test_b(void **state)
{
}

/* H5 */
void test_c(void **state);
"""
    assert dict(hazards.tags_in_c(text)) == {"test_a": [1, 22], "test_c": [5]}
    text = 'def test_a():\n    """H7 H8: text"""\n\ndef test_b():\n    """Not H9."""\n\ndef other():\n    """H1: x"""\n'
    assert dict(hazards.tags_in_python(text)) == {"test_a": [7, 8]}


def test_covered_means_ran_and_passed_everywhere():
    hazards = script("hazards")
    found = {("a.c", "test_a"): [1], ("a.c", "test_b"): [2, 999], ("b.py", "test_c"): [1, 3], ("b.py", "test_d"): [4]}
    results = [
        {"id": "a:test_a", "file": "a.c", "status": "passed"},
        {"id": "a:test_b", "file": "a.c", "status": "passed"},
        {"id": "a:test_b", "file": "a.c", "status": "failed"},
        {"id": "b:test_c[1]", "file": "b.py", "status": "passed"},
        {"id": "b:test_c[2]", "file": "b.py", "status": "passed"},
    ]
    assert hazards.covered(found, results) == {1: ["a:test_a", "b:test_c"], 3: ["b:test_c"]}


def need(*purposes, path):
    env = {"PATH": f"{path}:/usr/sbin:/usr/bin:/sbin:/bin"}
    line = [os.path.join(record.ROOT, "etc", "need"), *purposes]
    return subprocess.run(line, env=env, capture_output=True, text=True, check=False)


def fake(folder, **commands):
    for name, text in commands.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return folder


def test_another_user_is_told_what_to_type(tmp_path):
    done = need("build", path=fake(tmp_path, id="echo 1000", dpkg_query="printf 'installed %s\\n' gcc meson libc6-dev"))
    assert done.returncode == 1
    assert "apt-get install -y --no-install-recommends libunbound-dev libuv1-dev ninja-build pkgconf" in done.stderr


def test_nothing_missing_says_nothing(tmp_path):
    packages = "gcc libc6-dev meson ninja-build pkgconf libuv1-dev libunbound-dev"
    commands = fake(tmp_path, id="echo 0", apt_get="echo called; exit 1", dpkg_query=f"printf 'installed %s\\n' {packages}")
    done = need("build", "run", path=commands)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_purpose_that_is_none_is_refused(tmp_path):
    assert need("zest", path=tmp_path).returncode == 1


def test_make_lists_its_targets():
    done = subprocess.run(["make", "-s", "-C", record.ROOT, "help"], capture_output=True, text=True, check=True)
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert {"all", "run", "test", "hazards", "install", "clean"} <= set(listed)
