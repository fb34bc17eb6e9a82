"""``python -m tests.golden``: record messages, tables and code of this version; run it when you make a release."""

from scripts.release import ROOT
from tests.golden.code import record_code
from tests.golden.noted import MESSAGES, SCHEMA, current_messages, current_schema

if __name__ == "__main__":
    MESSAGES.write_text("\n".join(current_messages()) + "\n")
    SCHEMA.write_text("\n".join(current_schema()) + "\n")
    record_code(ROOT)
