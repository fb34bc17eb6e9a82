"""The jq executor's child process; see ``jq``. Started as a script: it imports nothing of ours."""

import json
import os
import resource
import sys

__all__ = ["main"]


def main() -> int:
    """Do the order on standard input; return the exit code."""
    order = json.load(sys.stdin)
    os.environ.clear()
    for what, limit in ((resource.RLIMIT_CPU, order["cpu_s"]), (resource.RLIMIT_AS, order["memory"])):
        resource.setrlimit(what, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import jq  # noqa: PLC0415 - under the limits, and without the environment

    out = sys.stdout
    try:
        for result in jq.compile(order["filter"]).input_text(order["input"]):
            if order["raw"] and isinstance(result, str):
                out.write(result + "\n")
            else:
                out.write(json.dumps(result, indent=4, ensure_ascii=False) + "\n")
        out.flush()
    except (ValueError, MemoryError, RecursionError) as error:
        out.flush()
        sys.stderr.write(f"{str(error) or type(error).__name__}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogatepass")  # type: ignore[union-attr]
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
