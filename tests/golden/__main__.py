"""``python -m tests.golden``: record what later versions are compared with; run it when you make a release."""

from scripts.release import ROOT
from tests.golden.code import record_code
from tests.golden.noted import MESSAGES, SCHEMA, WORDS, current_messages, current_schema
from tests.golden.words import word_lines

if __name__ == "__main__":
    MESSAGES.write_text("\n".join(current_messages()) + "\n")
    SCHEMA.write_text("\n".join(current_schema()) + "\n")
    WORDS.write_text("\n".join(word_lines()) + "\n")
    record_code(ROOT)
