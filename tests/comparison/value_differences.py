"""The differences from Dagu in values and conditions."""

from collections.abc import Sequence

from tests.comparison.difference import Difference

__all__ = ["VALUE_DIFFERENCES"]

_LOGS = frozenset({"logs"})
VALUE_DIFFERENCES: Sequence[Difference] = (
    Difference(
        "values",
        "A value with quotes, `$(…)` or `;` becomes part of the command's text, and may break it or run.",
        "A value that could run something, or has an open quote, reaches the command as one value. Only words, closed "
        "quotes and names such as `$HOME` are text there, as in Dagu.",
        "A parameter must not be able to run a command.",
        "value-in-shell",
    ),
    Difference(
        "values",
        "A plain `010` is 8, `1_000` is 1000, `null` is the text `<nil>`, and `$$` is empty.",
        "`010`, `1_000` and `$$` stay as written, and `null` is empty.",
        "Nobody means 8 or `<nil>`.",
        "plain-scalars",
        _LOGS,
    ),
    Difference(
        "values",
        "Large numbers in JSON become `1e+06`, objects Go's `map[k:v]`, and a missing value `<nil>`.",
        "Numbers keep their digits, objects are compact JSON, and a missing value is empty.",
        "The next step must be able to read the value.",
        "json-values",
        _LOGS,
    ),
    Difference(
        "values",
        "In the JSON of `DAG_PARAMS_JSON` and of a summary of sub-runs, `&`, `<` and `>` are `\\u0026` and the like.",
        "They stay as they are.",
        "It is the same JSON, and a person or `grep` can read it.",
    ),
    Difference(
        "values",
        "Back quotes in a command run also between single quotes, as in ``echo 'select `id`'``.",
        "They stay text there, as in a shell.",
        "That is what single quotes are for.",
    ),
    Difference(
        "values",
        "In the `params` of a `call`, line ends arrive as `\\n`, backslashes twice, and of `$A$B` sometimes nothing.",
        "All arrive as they are.",
        "The called workflow must get what the caller gave.",
    ),
    Difference(
        "values",
        "With `call: jobs/${F}`, a value of `F` with `..` leaves the folder `jobs`.",
        "The step fails.",
        "A worker evaluates the value, and must not be able to start any workflow.",
    ),
    Difference(
        "values",
        "Variables in a map of `env` are evaluated in a random order, so `${A}` may be empty in another value.",
        "They are evaluated in the order of the file.",
        "The same file must give the same values.",
    ),
    Difference(
        "values",
        '`$OUT.key` reads a path in JSON only at the end or before a space. Elsewhere, as in `"$OUT.key"`, it has the '
        "whole value, and then `.key`.",
        "It reads the path wherever it is. Write `${OUT}.key` for the value and a text.",
        "Nobody means a whole JSON text before `.key`.",
    ),
    Difference(
        "values",
        "With `shell: direct`, variables of `env` and of the process stay as they are written in a command.",
        "They have their values, as params and outputs do in both.",
        "There is no shell that could replace them.",
    ),
    Difference(
        "values",
        "In `stdout` and `stderr`, `$DAG_RUN_STEP_NAME` is empty, and a relative path is in the workflow's directory, "
        "even if the step has its own. The file's folder must exist.",
        "It is the name of the step. The path is in the step's directory, and missing folders are created.",
        "Each step can write a file of its own, where its command works.",
    ),
    Difference(
        "values",
        "A parameter of a request such as `PA=$HOME` is expanded with the server's environment.",
        "It stays text; it may refer to earlier parameters only.",
        "A request must not read the server's environment.",
    ),
    Difference(
        "values",
        "A default that refers to another parameter (`A=1 B=${A}`) has the default of that one, even if a request sets "
        "`A=2`: `B` is 1. A command in back quotes does not see `A`.",
        "It has the value that counts: `B` is 2. A default that is replaced is not evaluated, nor is its command run.",
        "A value is derived from what the run gets.",
    ),
    Difference(
        "values",
        "In a dotenv file, `$Word` and `$1` are replaced in part, `${A:-x}` is the value of `A` and then `:-x}`, and "
        "`A= # text` is a value. Variables of the process and of the file before are not known, and a wrong line "
        "drops the whole file. Tabs in `env` are left out.",
        "`$Word` and `$1` stay as they are, `x` is the default of `A`, and `# text` is a comment. These variables are "
        "known, the other lines count, and tabs stay.",
        "It is clear what they mean.",
    ),
    Difference(
        "values",
        "Two back-quoted values in one text (``A=`x` B=`y` ``) are one value, with all that is between them.",
        "They are two values.",
        "Nobody means one.",
    ),
    Difference(
        "values",
        "A command in back quotes runs in a path of `dotenv`, and in one of its values `\\t` in double quotes is `t`.",
        "It does not run: use a variable there. `\\t` is a tab.",
        "Every step looks for the files anew.",
    ),
    Difference(
        "values",
        "A captured output that contains a secret carries it to the next step.",
        "It carries stars; declare the secret in the next step too.",
        "Outputs are stored and shown, so a secret in one would be too.",
    ),
    Difference(
        "values",
        "A secret from a file has the line end with which the file ends.",
        "It has not.",
        "Editors end a file with one, and a password with it is wrong.",
    ),
    Difference(
        "values",
        "In a `parallel` variable with quoted words, letters such as `é` become others.",
        "They stay.",
        "An item is what the text says.",
    ),
    Difference(
        "values",
        'A quoted text with `=` in params, such as `"k=v w"`, becomes the parameter `"k` and the value `w`.',
        "It is one value, a positional parameter.",
        "That is what quotes are for.",
    ),
    Difference(
        "conditions",
        "The environment of a precondition's command has neither outputs of earlier steps nor the workflow's `env`, "
        "and that of a `repeatPolicy` not the step's own output.",
        "It has them.",
        "A condition is written about them.",
    ),
    Difference(
        "conditions",
        "A step's conditions, and its commands in back quotes, run in the workflow's directory, even if the step has "
        "its own.",
        "They run in the step's directory, if that exists.",
        "They ask about the place where the step works.",
    ),
    Difference(
        "conditions",
        "With `shell: direct`, the command of a precondition always fails, and the step is skipped.",
        "The worker's default shell runs the command.",
        "A condition asks about something else than how the step starts its program.",
    ),
    Difference(
        "conditions",
        "In the condition of a `repeatPolicy`, `${id.exit_code}` of the step itself is always 0.",
        "It is the exit code of the execution that has just ended.",
        "A step that polls waits for an exit code.",
    ),
    Difference(
        "conditions",
        "A step that a condition repeats sees its own output of the execution before, also if a parameter has the same "
        "name. References in its scripts and in its `env` keep the first value that they had.",
        "It sees it unless a parameter, an earlier output or its own `env` has that name. References have the value of "
        "the execution before.",
        "A step that counts, or follows the pages of an answer, needs the last value.",
    ),
)
