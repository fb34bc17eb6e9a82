"""Values from requests in commands of a shell are printed, never run."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.language.model import Condition, Step, StepCommand
from tests.harness.worker_rig import Rig, task


@pytest.fixture(params=["sh", "bash"], scope="module")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One worker for all tests of a shell: each step has an attempt token and a number of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHELL", request.param)
        with Rig(tmp_path_factory.mktemp("worker")) as made:
            yield made


def written(rig: Rig, step: Step, value: str, *, given: bool = True) -> str:
    finished = rig.run(task(step, params=(("P", value), ("1", value)), params_given=given))
    assert finished.outcome == "succeeded", finished.error
    return rig.log(finished, "stdout").decode()


FORMS = [
    "$(touch {})",
    "`touch {}`",
    "x; y $(touch {}) 'z\" `touch {}`",
    "x; touch {};",
    "\"; touch {}; '",
    "'; touch {}; '",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        'printf "%s\\n" "$P"',
        'printf "%s\\n" "${P}"',
        'printf "%s\\n" "$1"',
        'cat <<END\n$P\nEND\n# an apostrophe isn\'t the end: \nprintf "%s" ""',
        '# don\'t\nprintf "%s\\n" "$P"',
        "cat <<'END'\n${P}\nEND\n",
        'cat <<-"END"\n\t$P\n\tEND\n',
        "cat <<\\END\n$P\nEND\n",
        "printf '%s\\n' ' ${P} ' | sed 's/^ //; s/ $//'",
        'bash -c \'printf "%s\\n" "$0" \' "$P"',
        "bash <<'END'\nprintf '%s\\n' \"${P} \" | sed 's/ $//'\nEND\n",
    ],
    ids=[
        "quoted",
        "braces",
        "positional",
        "here-document",
        "apostrophe",
        "quoted here-document",
        "indented",
        "escaped here-document",
        "single quotes",
        "handed on",
        "another shell's here-document",
    ],
)
def test_a_given_value_is_shown_and_not_run(rig: Rig, tmp_path: Path, text: str, form: str) -> None:
    value = form.replace("{}", str(tmp_path / "run"))

    assert written(rig, Step(name="s", script=text), value) == f"{value}\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "value", ['"; touch {}; "', "x; touch {}", "x|touch {}", "a\ntouch {}", "x > {}", "x & touch {}"]
)
@pytest.mark.parametrize(
    "text", ['printf "%s\n" "got $P"', 'printf "%s\n" "got ${P}"', 'printf "%s\n" "got $1"', "echo got ${P}"]
)
def test_a_given_value_starts_no_other_command(rig: Rig, tmp_path: Path, text: str, value: str) -> None:
    given = value.replace("{}", str(tmp_path / "run"))

    shown = written(rig, Step(name="s", script=text), given)

    # Outside quotes a value's own quotes keep its words together, as in Dagu.
    words = given.replace('"', "").split()
    assert shown == f"got {given}\n" if "printf" in text else shown.split() == ["got", *words]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["cost $5; more `x`", 'a "b" & c', "x|y"])
def test_a_given_value_is_unchanged_between_single_quotes(rig: Rig, value: str) -> None:
    assert written(rig, Step(name="s", script="printf '%s\n' '{\"t\":${P.t}}'"), '{"t":1}') == '{"t":1}\n'
    assert written(rig, Step(name="s", script="printf '%s\n' 'got ${P} now'"), value) == f"got {value} now\n"


def test_a_value_in_json_between_single_quotes_is_json(rig: Rig) -> None:
    step = Step(name="s", script="""echo '{"text":"${P}"}' | python3 -m json.tool --compact""")

    assert written(rig, step, "cost $5 `x`") == '{"text":"cost $5 `x`"}\n'


def test_a_given_list_of_words_is_parsed_again_by_the_shell_as_in_dagu(rig: Rig) -> None:
    assert written(rig, Step(name="s", script="printf '[%s]' ${P}"), '--name "a b" -v') == "[--name][a b][-v]"


@pytest.mark.parametrize("value", ["x;touch {};", "x&touch {}", "x|touch {}", "(touch {})", "x\ntouch {}"])
@pytest.mark.parametrize(
    "command",
    [
        '$(printf %s "a"${P}"b")',
        "$(printf %s ${P})",
        "`printf %s ${P}`",
        "it's `printf %s $P`",
        "\\\\` $(echo `echo` ${P})",
        "\\` `printf %s ${P}`",
        "$(true) $(case x in x) echo ${P};; esac)",
        "${x:-$(echo ${P})}",
        "$(echo ')' ${P})",
        "$(true # )\necho ${P})",
    ],
)
def test_a_command_in_a_here_document_does_not_run_a_value(rig: Rig, tmp_path: Path, command: str, value: str) -> None:
    given = value.replace("{}", str(tmp_path / "run"))

    rig.run(
        task(
            Step(name="s", script=f"cat <<END\n{command}\nEND\n"),
            params=(("P", given), ("1", given)),
            params_given=True,
        )
    )

    assert not (tmp_path / "run").exists()


def test_a_document_with_commands_shows_values_as_they_are(rig: Rig) -> None:
    script = 'cat <<END\n$(echo "<${P}>") ${P}\n`echo ${P}` "${P} "\n${P}\nEND\n'

    assert written(rig, Step(name="s", script=script), "a;'b") == "<a;'b> a;'b\na;'b \"a;'b \"\na;'b\n"
    assert written(rig, Step(name="s", script=script), "END") == '<END> END\nEND "END "\nEND\n'


def test_a_value_cannot_end_the_document_it_stands_in(rig: Rig, tmp_path: Path) -> None:
    for opened in ("<<END", "<<'END'", "<<-'END'"):
        for line in ("${P}", "E${Q}"):
            script = f"cat {opened}\n{line}\ntouch {tmp_path}/run\nEND\n"
            finished = rig.run(
                task(Step(name="s", script=script), params=(("P", "a\nEND"), ("Q", "ND")), params_given=True)
            )
            assert finished.outcome == "succeeded", finished.error

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    [
        "bash -c 'echo $P.'",
        "eval 'echo ${P} .'",
        "sh -c 'echo \"${P}\"'",
        "bash <<'E'\necho $P\nE",
        "bash -c 'echo \"$M\"'",
        'bash -c \'echo "$2"\' _ - "${P}"',
    ],
)
@pytest.mark.parametrize("form", ["$(touch {})", "`touch {}`"])
def test_a_shell_within_the_shell_runs_nothing_either(rig: Rig, tmp_path: Path, text: str, form: str) -> None:
    value = form.replace("{}", str(tmp_path / "run"))

    assert value in written(rig, Step(name="s", script=text, env=(("M", "${P}"),)), value)
    assert not (tmp_path / "run").exists()


def test_an_output_in_json_or_a_quoted_document_is_unchanged(rig: Rig) -> None:
    for value in ("cost $5", "Use `ls`", "it's $(here)", 'say "hi"\n\tthere'):
        reader = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"text\"])'"
        # No echo: dash's makes a line's end of a backslash and an n, which is no JSON any more.
        script = f"printf '%s' '{{\"text\":\"${{OUT}}\"}}' | {reader}\n"
        script = f"{script}cat <<'EOF'\n${{OUT}}\nEOF\n"
        finished = rig.run(task(Step(name="s", script=script), outputs=(("OUT", value),)))

        assert finished.outcome == "succeeded", finished.error
        assert rig.log(finished, "stdout").decode() == f"{value}\n{value}\n", value


@pytest.mark.parametrize(
    "step",
    [
        Step(name="s", shell=("timeout", "60", "bash", "-c"), commands=(StepCommand(text='printf "%s\n" "${P}"'),)),
        Step(name="s", commands=(StepCommand(text="env bash", argv=("env", "bash")),), script='printf "%s\n" "${P}"'),
        Step(name="s", script='#!/usr/bin/env bash\nprintf "%s\n" "${P}"'),
    ],
    ids=["shell", "command", "first line"],
)
def test_a_shell_that_another_program_starts_runs_nothing_either(rig: Rig, tmp_path: Path, step: Step) -> None:
    value = f"$(touch {tmp_path}/run)"

    assert written(rig, step, value) == f"{value}\n"
    assert not (tmp_path / "run").exists()


NIX_SHELL = r"""#!/bin/sh
# Runs the file that comes last by what -i names in it, as nix-shell does.
for file; do :; done
exec $(sed -n 's/^#! *nix-shell .*-i \([a-z0-9]*\).*/\1/p' "$file") "$file"
"""


@pytest.mark.parametrize(
    ("reader", "text"), [("bash", 'printf "%s\n" "${P}"'), ("python3", 'print("""${P}""")')], ids=["bash", "python"]
)
@pytest.mark.parametrize("starter", ["/usr/bin/env nix-shell", "{}/nix-shell"], ids=["env", "path"])
def test_a_script_that_nix_shell_starts_is_a_text_for_the_program_that_it_names(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, starter: str, reader: str, text: str
) -> None:
    _program(tmp_path / "nix-shell", NIX_SHELL)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    value = f"$(touch {tmp_path}/run)"
    script = f"#!{starter.format(tmp_path)}\n#! nix-shell -i {reader} -p {reader}\n{text}"

    assert written(rig, Step(name="s", script=script), value) == f"{value}\n"
    assert not (tmp_path / "run").exists()


def test_a_package_with_the_name_of_a_shell_makes_no_shell_of_python(rig: Rig, tmp_path: Path) -> None:
    _program(tmp_path / "uv", '#!/bin/sh\nshift 3\nexec "$@"\n')
    argv = (f"{tmp_path}/uv", "run", "--with", "sh", "python3")
    step = Step(name="s", commands=(StepCommand(text="", argv=argv),), script='print("""${P}""")')

    assert written(rig, step, "a $(b)") == "a $(b)\n"


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


WITHOUT_VARIABLES = ("env", "-i", "PATH=/usr/bin:/bin", "bash")


@pytest.mark.parametrize(
    "step",
    [
        Step(name="s", shell=WITHOUT_VARIABLES, commands=(StepCommand(text='printf "%s\n" "got ${P}"'),)),
        Step(name="s", shell=WITHOUT_VARIABLES, commands=(StepCommand(text="cat <<END\ngot ${P}\nEND"),)),
        Step(
            name="s",
            commands=(StepCommand(text="", argv=WITHOUT_VARIABLES),),
            script='#!/bin/sh\nprintf "%s\n" "got ${P}"',
        ),
    ],
    ids=["command", "here-document", "script"],
)
def test_a_shell_without_our_variables_gets_the_value_too(rig: Rig, tmp_path: Path, step: Step) -> None:
    """As with ``docker exec``, ``sudo`` or ``env -i`` before the shell."""
    value = f'it\'s\n\\d "$(touch {tmp_path}/run)"'

    assert written(rig, step, value) == f"got {value}\n"
    assert not (tmp_path / "run").exists()


def test_a_value_is_no_text_for_a_shell_that_reads_the_words_of_the_shell(rig: Rig, tmp_path: Path) -> None:
    """As ssh does: it joins its words to a text for the shell of the other host."""
    _program(tmp_path / "ssh", '#!/bin/sh\nexec env -i sh -c "$*"\n')
    step = Step(name="s", shell=(f"{tmp_path}/ssh", "bash"), commands=(StepCommand(text='echo "got ${P}"'),))

    written(rig, step, f"$(touch {tmp_path}/run)")

    assert not (tmp_path / "run").exists()


def test_a_given_value_outside_quotes_is_split_into_words_and_not_run(rig: Rig, tmp_path: Path) -> None:
    value = f"a  $(touch {tmp_path}/run)"
    step = Step(name="s", commands=(StepCommand(text="echo $P", argv=("echo", "$P")),))

    assert written(rig, step, value) == f"a $(touch {tmp_path}/run)\n"
    assert not (tmp_path / "run").exists()


def test_what_the_author_wrote_as_a_default_still_reaches_the_shell_as_text(rig: Rig) -> None:
    step = Step(name="s", commands=(StepCommand(text="echo $P", argv=("echo", "$P")),))

    assert written(rig, step, "$(echo by the author)", given=False) == "by the author\n"


def test_a_step_env_with_a_command_of_its_own_is_the_authors(rig: Rig) -> None:
    step = Step(
        name="s", env=(("E", "$(echo by the author)"),), commands=(StepCommand(text="echo $E", argv=("echo",)),)
    )

    assert written(rig, step, "") == "by the author\n"


def checked(rig: Rig, condition: str, **fields: Any) -> bool:
    """Whether the step's condition was met, so that it ran. The run's directory has the file a.txt."""
    (rig.work_dir() / "a.txt").touch()
    step = Step(
        name="s",
        preconditions=(Condition(condition=condition),),
        env=(("OWN", "test -f a.txt && true"), ("MADE", "true ${OUT}")),
        commands=(StepCommand(text="true", argv=("true",)),),
    )
    return rig.run(task(step, **fields)).outcome == "succeeded"


def test_conditions_read_the_authors_own_words_as_a_shell_does(rig: Rig) -> None:
    words: dict[str, Any] = {
        "params": (("P", "*.txt"), ("Q", "test -f a.txt && true")),
        "env": (("E", '{"check":"test -f *.txt"}'),),
    }

    assert checked(rig, "ls ${P}", **words)
    assert checked(rig, "$Q", **words)
    assert checked(rig, "${OWN}", **words)
    assert checked(rig, "${E.check}", **words)
    # One that was given does not make words of the others.
    assert checked(rig, "ls ${P}", **words, params_given=True, params_outside=("G",))


def test_conditions_run_nothing_from_params_or_outputs(rig: Rig, tmp_path: Path) -> None:
    evil = f"true; touch {tmp_path}/run; $(touch {tmp_path}/run)"
    fields: dict[str, Any] = {"params": (("P", evil),), "params_given": True, "outputs": (("OUT", evil),)}

    for condition in ("$P", "true ${P}", 'test -n "$P"', "${OUT}", "$MADE", "${MADE}", "`echo $P`; `echo $OUT`"):
        checked(rig, condition, **fields)

    assert not (tmp_path / "run").exists()


def test_a_nul_that_a_back_quoted_command_prints_is_left_out_as_shells_do(rig: Rig) -> None:
    step = Step(name="s", env=(("A", "`printf 'a\\0b'`"),), commands=(StepCommand(text='echo "$A"'),))

    assert written(rig, step, "") == "ab\n"
