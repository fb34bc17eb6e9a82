"""The differences from Dagu in the API, schedules, the DAG folder and the metrics."""

from collections.abc import Sequence

from tests.comparison.difference import Difference

__all__ = ["SERVER_DIFFERENCES"]

SERVER_DIFFERENCES: Sequence[Difference] = (
    Difference(
        "API",
        "Empty lists are `null` in some responses.",
        "They are `[]`.",
        "Clients need not check for both.",
    ),
    Difference(
        "API",
        "`fileName` in lists has no ending (`nightly`).",
        "It has one (`nightly.yaml`). Every path takes both forms.",
        "Dagu's description of its API shows it so.",
    ),
    Difference(
        "API",
        "An approval may give values for inputs that the step does not ask for.",
        "It is refused with 400.",
        "The values become variables of the steps that follow.",
    ),
    Difference(
        "API",
        "A start with `singleton` while a run is active is refused with the code `already_exists`, and the rename of a "
        "running DAG with `not_running`.",
        "The code is `already_running`; the statuses, 409 and 400, are the same.",
        "`already_exists` means that a name or an id is taken, and `not_running` that nothing runs.",
    ),
    Difference(
        "API",
        "A stop of one of several running runs of a DAG stops the newest of them.",
        "It stops the run that it names.",
        "The others must go on.",
    ),
    Difference(
        "API",
        "A reschedule ignores `singleton`.",
        "It is refused with 409 while a run is active or queued.",
        "Who asks for a single run does not want a second one.",
    ),
    Difference(
        "API",
        "A DAG whose spec has errors gets 404 for a start, a suspension and `stop-all`. Lists leave out an empty file.",
        "A start gets 400 with the errors, the others work, and an empty file is listed with its error.",
        "The DAG exists, and its author needs the errors.",
    ),
    Difference(
        "API",
        "A missing or `null` field counts as empty: the step gets the status `not_started`, the spec becomes an empty "
        "file, the webhook is disabled, the login fails with 401.",
        "It is refused with 400, but for `suspend`.",
        "A request with a mistake must not change anything.",
    ),
    Difference(
        "API",
        "`POST /dags` takes a name that no run can have, such as `a b`, also in the spec, and a validation finds none "
        "wrong. A number that is no status of a step is `not_started`, and so are 6 to 8. An unknown `stream` is "
        "stdout.",
        "Such names are errors, such numbers and streams are refused with 400, and the statuses 6 to 8 are set.",
        "A request with a mistake must not change anything.",
    ),
    Difference(
        "API",
        "`POST /dags/validate` finds an empty spec valid.",
        "It is an error that it has no DAG.",
        "No run of it could do anything.",
    ),
    Difference(
        "API",
        "`params` of a start must be text.",
        "They may also be a JSON object or list.",
        "Clients need not write JSON into a text.",
    ),
    Difference(
        "API",
        "Bodies may have any size.",
        "They may have 2 MiB, and `params` 256 KiB; more gets 413 or 400 ([limits](operations/limits.md)).",
        "One request must not take the memory of all.",
    ),
    Difference(
        "API",
        "A login stays valid after a new password or role.",
        "It ends: the user logs in again ([ADR 27](adr/0027-logins-end.md)).",
        "A stolen token must not outlive the change that should stop it.",
    ),
    Difference(
        "API",
        "A password may be any text of 8 characters or more, and logins may fail as often as they like.",
        "Common passwords, the username and blanks are refused with 400. After some failures logins get 429 for a "
        "while ([login](operations/sign-in.md#wrong-passwords-and-tokens)).",
        "Passwords must not be found by trying.",
    ),
    Difference(
        "API",
        "Administrators can take the role admin from themselves, even the last one.",
        "They get 403, as for their own deletion.",
        "Nobody could manage users then.",
    ),
    Difference(
        "API",
        "A retry of a running run answers 200 and does nothing; that of a queued run starts it at once.",
        "Both are refused with 400 and the code `already_running`.",
        "The caller learns that nothing was retried, and no run passes its queue.",
    ),
    Difference(
        "API",
        "A retry whose body has the id of no run answers 200 and does nothing.",
        "It makes a run with that id, which keeps what succeeded in the run of the path and does the rest again.",
        "The request says that it wants a run with this id.",
    ),
    Difference(
        "API",
        "What a remote node answers with success has the status 200 at the server that was asked.",
        "It has the status of the remote node, such as 201 after a creation.",
        "A client need not know where a request was carried out.",
    ),
    Difference(
        "API",
        "A retry of one step sets the run to `succeeded` if that step succeeds, though another step has failed.",
        "The run stays `failed` until no step is.",
        "A failed step must not be overlooked.",
    ),
    Difference(
        "API",
        "A user is edited with PATCH only, so the front end's own PUT gets 405.",
        "PUT works too.",
        "The front end's dialog works.",
    ),
    Difference(
        "API",
        "`/api/v1` is an older API without authentication.",
        "`/api/v1` is the API of Dagu 2, with the same logins as `/api/v2`.",
        "The older API has no logins; `/api/v2` has all that it does.",
    ),
    Difference(
        "API",
        "A write is answered when it is done.",
        "If its outcome takes longer than `DAGWAY_COMMAND_WAIT_S`, the answer is 202 with a `Location` to ask for it: "
        "404 until then. Ask before you send a request that must come after it.",
        "The request is stored durably, so the client need not repeat it. Another scheduler may carry out the next.",
    ),
    Difference(
        "API",
        "Pages of other origins and unknown host names may use a server without a login, or with a Basic password.",
        "They are refused. `DAGWAY_ALLOWED_ORIGINS` and `DAGWAY_ALLOWED_HOSTS` list exceptions.",
        "A web page must not control the server of who visits it.",
    ),
    Difference(
        "API",
        "Lists of runs without dates have the runs of today (in UTC).",
        "They have all runs, the newest 1,000.",
        "A run of last night must not be missing.",
    ),
    Difference(
        "API",
        "Wrong requests get 500, an empty body or a plain text in several places.",
        "They get 400, 404 or 409 and always JSON with `code` and `message`.",
        "Clients can tell a mistake of theirs from one of the server.",
    ),
    Difference(
        "API",
        "A body may have any content type.",
        "If a browser sends it without a token or key, it must be `application/json`, else the answer is 415.",
        "A page of another site can send other types without asking ([login](operations/sign-in.md#browsers)).",
    ),
    Difference(
        "API",
        "`nextPage` of the last page is that page, `prevPage` of the first page is 1.",
        "They are `null`.",
        "There is no such page.",
    ),
    Difference(
        "API",
        "`runConfig` only disables fields of the front end's dialog.",
        "A start that sets what it forbids is refused with 400.",
        "A rule that only one client keeps is none.",
    ),
    Difference(
        "API",
        "A new run may have the id `latest`, or one of more than 64 characters. An id with a dot gets 500. Scheduled "
        "runs have UUIDs.",
        "The first two are refused with 400, and ids may have dots. Those of scheduled runs have the time in them.",
        "`latest` names the newest run in every path. A scheduled time has one run, whoever starts it.",
    ),
    Difference(
        "API",
        "`PUT` of a spec that was saved answers with an empty body.",
        'It answers `{"errors": []}`. Where a gateway serves the front end of Dagu, the page suppresses the empty '
        "alert that it shows for that.",
        "Dagu's description of its API shows it so.",
    ),
    Difference(
        "API",
        "In the answers about a spec, `name` is the name in the request.",
        "It is the name in the spec, if it has one.",
        "Runs of the spec have that name.",
    ),
    Difference(
        "API",
        "A step that waits for approval has the `doneCount` 1 and a `finishedAt`.",
        "It has 0 and an empty one until somebody decides.",
        "It is not done.",
    ),
    Difference(
        "API",
        "The details of a run leave out the handlers `init` and `wait`.",
        "`onInit` and `onWait` show them, like the other handlers.",
        "If `init` fails, the run fails.",
    ),
    Difference(
        "API",
        "`/sub-dag-runs` leaves out the sub-runs of handlers.",
        "It lists them.",
        "They are runs of this run too.",
    ),
    Difference(
        "API",
        "After the approval of a step in a sub-run both runs stay `waiting`. The `call` step itself can be approved: "
        "the run goes on, and the sub-run never does.",
        "The sub-run goes on, and then the run. The approval of the `call` step is refused with 400.",
        "What was approved must be done, and nothing else.",
    ),
    Difference(
        "API",
        "A renamed DAG is no longer suspended, and its webhook stays with the old name. A webhook outlives its DAG.",
        "Both go with the DAG, and are deleted with it.",
        "A new name must not start a DAG, and a new DAG must not be open to an old token.",
    ),
    Difference(
        "API",
        "A search for a wrong regular expression, such as `(x`, finds nothing and has an error for each DAG.",
        "It finds the text as it stands, and has one error.",
        "People search for text.",
    ),
    Difference(
        "API",
        "A start, a retry and the like without a body get 500, and so does the log of a step that has not begun. Text "
        "after the JSON of a body is ignored.",
        "Without a body all fields count as absent, and the log is empty. Such a text is refused with 400.",
        "Clients need not send `{}` or look at the step first. A body with a mistake must not change anything.",
    ),
    Difference(
        "API",
        "`latest` of a DAG that never ran has no steps in `/dags/NAME/dag-runs/latest`.",
        "It has them, as in the DAG's details.",
        "It is the same run.",
    ),
    Difference(
        "API",
        "An empty query parameter, such as `status=` or `q=`, gets 400.",
        "It counts as absent; a search for an empty text finds nothing.",
        "Forms send their empty fields.",
    ),
    Difference(
        "API",
        "HEAD gets 405, and a path with a slash at its end is redirected.",
        "HEAD is answered as GET is, and the slash is ignored.",
        "Probes send HEAD, and clients repeat a redirected POST as a GET.",
    ),
    Difference(
        "API",
        "The `message` of an error is Dagu's, or that of a Go library.",
        "It has other words, and may say what to do.",
        "Statuses and codes are equal; messages are for people.",
    ),
    Difference(
        "API",
        "A DAG in a sub-folder can be read and started as `sub%2Fname`.",
        "It can only be called by another DAG. A slash in a name is refused with 400.",
        "What is not listed and not scheduled is a part of other DAGs.",
    ),
    Difference(
        "API",
        "`log` of a run is the path of a file, which has the log lines of Dagu's program.",
        "It is a name. The text at `…/log` has one line for each change of the run and its steps.",
        "The run may have been on another machine.",
    ),
    Difference(
        "API",
        "A log above 10 KiB has an estimated `totalLines`, and a line above 64 KiB hides the whole log.",
        "The number is exact, and every line is shown.",
        "Who reads a log needs all of it.",
    ),
    Difference(
        "API",
        "`/services/coordinator` lists a coordinator.",
        "The list is empty.",
        "There is none: RabbitMQ, or `dagway up` itself, hands out the work.",
    ),
    Difference(
        "schedules",
        "A scheduled restart does nothing if no run is running.",
        "It starts the workflow.",
        "What should be restarted should run.",
    ),
    Difference(
        "schedules",
        "`skipIfSuccessful` counts the run of the scheduled time before, so every second start is skipped.",
        "It does not count that run.",
        "It is there to save starts after a run by hand.",
    ),
    Difference(
        "schedules",
        "`skipIfSuccessful` looks as far back as the next time is ahead. So a success on Wednesday also skips the "
        "start of `MON-FRI` on Friday, and one on Saturday not that on Monday.",
        "It looks back to the scheduled time before, of any expression.",
        "A success replaces the next start, not two of them or none.",
    ),
    Difference(
        "schedules",
        "Expressions that are due in the same minute start a run each.",
        "They start one run.",
        "A scheduled time has one run.",
    ),
    Difference(
        "schedules",
        "A time that the clock skips in spring has no run, and one that it shows twice in autumn has two.",
        "Each has one run ([schedules](schedules.md)).",
        "So does Debian's cron. A daily job runs once a day.",
    ),
    Difference(
        "schedules",
        "A server that starts runs what is due in this minute, also of a file that it has not seen before.",
        "A file that is new begins with the next minute.",
        "A new file must not start a run for a time before it.",
    ),
    Difference(
        "the folder",
        "A DAG folder that does not exist is created, and a base configuration that does not exist is ignored.",
        "The server does not start, and names the folder or file.",
        "With a mistake in a path it would be a server without the workflows or their defaults.",
    ),
    Difference(
        "the folder",
        "A new file is seen at once.",
        "It is seen within about a second.",
        "Schedulers share a database; each looks once a second.",
    ),
    Difference(
        "the folder",
        "An edit in the page overwrites a file that was changed meanwhile.",
        "It is refused with 409, or 412 with `If-Match`.",
        "The newer text is never lost.",
    ),
    Difference(
        "the folder",
        "A link in the DAG folder may lead to any file.",
        "It must stay on its file system; any other is listed as a file that cannot be read.",
        "A link would show everybody what only the scheduler may read.",
    ),
    Difference(
        "metrics",
        "`dagu_dag_runs_total` counts the runs of today, and starts again at 0 each day.",
        "It counts all runs. The series `success` and `error` repeat `succeeded` and `failed`: a sum must omit them.",
        "A counter must not go down, and alerts were written for both names.",
    ),
    Difference(
        "metrics",
        "The metrics `go_*` describe the Go runtime.",
        "There are `python_*` and `process_*` instead.",
        "Dagway is written in Python.",
    ),
)
