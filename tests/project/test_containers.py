"""Dockerfile and Apptainer definition against the project and each other; neither is built here."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
DEFINITION = (ROOT / "envs" / "apptainer.def").read_text(encoding="utf-8")
SCRIPT = ROOT / "envs" / "container.sh"
PAGE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SECTIONS = {"arguments", "files", "post", "environment", "runscript", "test", "labels", "help"}
OWN_VARIABLES = ("SYNTHSEG_CONTAINER", "PYTHONNOUSERSITE")


def instructions(name):
    """What follows an instruction of the Dockerfile, lines joined."""
    return re.findall(rf"(?m)^{name} (.*)$", DOCKERFILE.replace("\\\n", " "))


def section(name):
    """Lines of a section of the definition."""
    return [line.strip() for line in re.split(rf"(?m)^%{name}\n", DEFINITION)[1].split("\n%")[0].splitlines() if line]


def copied():
    """Files of the repository that come into the image."""
    words = [shlex.split(text) for text in instructions("COPY") if "--from" not in text]
    return {source for sources in words for source in sources[:-1]}


def definition_variables():
    return dict(re.findall(r'export (\w+)="(.*)"', DEFINITION))


def docker_variables():
    return dict(word.split("=", 1) for text in instructions("ENV") for word in shlex.split(text))


def test_dockerfile_has_no_lint():
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_what_is_copied_is_there_and_not_ignored():
    taken = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text())
    for source in copied():
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in taken, source
    assert set(taken) == {source.split("/")[0] for source in copied()}


def test_both_take_the_same_files():
    pairs = [line.split() for line in section("files")]
    assert all(target == f"/src/{source}" for source, target in pairs)
    assert {source for source, _ in pairs} == {source.split("/")[0] for source in copied()}


def test_all_that_the_package_is_built_from_is_copied():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*build["packages"], *build["force-include"], PROJECT["readme"], *PROJECT["license-files"]}
    assert needed | {"pyproject.toml", "constraints.txt"} <= {source.split("/")[0] for source in copied()}


def test_versions_are_those_of_the_project():
    assert 'image.version="{version}"'.format(**PROJECT) in DOCKERFILE
    assert "org.opencontainers.image.version {version}".format(**PROJECT) in DEFINITION
    images = re.findall(r"synthseg-bids:([\d.]+\d)", DOCKERFILE + DEFINITION + PAGE)
    assert set(images) == {PROJECT["version"]}
    pins = (ROOT / "constraints.txt").read_text().split()
    assert set(re.findall(r"\btorch==[\d.]+", SCRIPT.read_text())) <= set(pins)
    assert "--constraint constraints.txt" in SCRIPT.read_text()


def test_base_is_one_python_that_the_project_supports():
    bases = [text.split()[0] for text in instructions("FROM")] + re.findall(r"(?m)^From: (.+)$", DEFINITION)
    assert len(bases) == 3
    (base,) = set(bases)
    assert re.fullmatch(r"python:3\.1[123]-slim-[a-z]+", base)


def test_both_have_the_same_environment():
    docker, definition = docker_variables(), definition_variables()
    assert {name: docker[name] for name in OWN_VARIABLES} == {name: definition[name] for name in OWN_VARIABLES}
    assert docker["PATH"] == definition["PATH"] == "/opt/synthseg/bin:$PATH"
    assert definition["SYNTHSEG_MODELS"] == f"${{SYNTHSEG_MODELS:-{docker['SYNTHSEG_MODELS']}}}"


def test_it_is_the_front_door_and_not_run_by_root():
    (entry,) = instructions("ENTRYPOINT")
    assert json.loads(entry) == ["synthseg-bids"]
    assert section("runscript") == ['exec synthseg-bids "$@"']
    assert "synthseg-bids" in PROJECT["scripts"]
    assert instructions("USER")[-1] not in ("0", "root")


def test_sections_of_the_definition_are_known():
    assert set(re.findall(r"(?m)^%(\w+)$", DEFINITION)) == SECTIONS
    assert re.search(r"(?m)^Bootstrap: docker$", DEFINITION)


def test_both_install_by_the_script():
    docker = [text for text in instructions("RUN") if "container.sh" in text]
    definition = [re.sub(r"{{ (\w+) }}", r"$\1", line) for line in section("post") if "container.sh" in line]
    assert docker == ['TORCH_INDEX="$TORCH_INDEX" sh container.sh torch "$TORCH"', "sh container.sh package"]
    assert [text.replace("envs/", "") for text in definition] == docker
    assert instructions("ARG") == section("arguments") == ["TORCH=cpu", "TORCH_INDEX="]
    cases = re.findall(r'(?m)^"(.+)"\)$', SCRIPT.read_text())
    assert cases == ["torch cpu", "torch cuda", "package"]


@pytest.mark.parametrize("words", [[], ["torch", "rocm"], ["torch"]])
def test_script_refuses_what_it_does_not_know(words):
    done = subprocess.run(["sh", SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected 'torch cpu'" in done.stderr


def test_extras_that_are_installed_exist():
    (extras,) = re.findall(r"\.\[(.+)\]", SCRIPT.read_text())
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_commands_of_the_page_run_images_by_their_arguments():
    """What follows the image is understood by the program in it."""
    from synthseg_core.app.arguments import build_parser
    from synthseg_core.cli.main import build_parser as build_core_parser

    lines = [line for block in blocks(re.sub(r"(?m)^  ", "", PAGE), "bash") for line in joined(block)]
    calls = [tail for line in lines if (tail := after_image(shlex.split(line)))]
    assert len(calls) == 5
    for program, words in calls:
        parser = build_core_parser(words[0]) if program == "synthseg" else build_parser()
        parser.parse_args(words)


def joined(block):
    return re.sub(r"\\\n\s*", " ", block).splitlines()


def after_image(words):
    """The program of a container call and its words; ``None`` for other commands."""
    if "--wrap" in words:
        words = shlex.split(words[words.index("--wrap") + 1].replace("\\\n", " "))
    if words[0] not in ("docker", "apptainer"):
        return None
    place = next(n for n, word in enumerate(words) if re.fullmatch(r"synthseg-bids(:[\d.]+|\.sif)", word))
    if words[:2] == ["apptainer", "exec"]:
        return words[place + 1], words[place + 2 :]
    return "synthseg" if "--entrypoint" in words else "synthseg-bids", words[place + 1 :]
