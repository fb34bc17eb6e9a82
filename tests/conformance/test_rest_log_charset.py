"""Logs of steps that print in another encoding than UTF-8: ``DAGWAY_LOG_CHARSET``."""

from pathlib import Path

import pytest

from services.api.settings import Settings
from shared.errors import ConfigInvalid
from shared.settings.config import load_config
from tests.conformance.rest_stack import open_stack

TEXT = "開始\n終了しました\n"


def test_a_log_is_shown_and_searched_in_the_encoding_of_the_setting(tmp_path: Path) -> None:
    with open_stack(tmp_path, settings=Settings(log_charset="shift_jis")) as stack:
        spec = "steps:\n  - name: one\n    command: report\n"
        key = stack.add_run("old", "r1", "succeeded", spec, nodes={"one": {"status": "succeeded"}})
        stack.add_log(key, 0, TEXT.encode("shift_jis"))
        log = "/dag-runs/old/r1/steps/one/log"

        assert stack.get(log)["content"] == TEXT.rstrip()
        assert stack.get(f"{log}/search?q=終了")["lines"] == [2]
        whole = stack.client.get(f"/api/v2{log}/download")
        assert (whole.content_type, whole.get_data()) == ("text/plain; charset=shift_jis", TEXT.encode("shift_jis"))


def test_dagus_setting_is_read_and_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "base.yaml").write_text("{}")
    (tmp_path / "config.yaml").write_text("ui: {logEncodingCharset: Shift-JIS}\n")
    assert load_config({}, {"DAGU_HOME": str(tmp_path)}).log_charset == "shift_jis"
    assert load_config({}, {"DAGU_UI_LOG_ENCODING_CHARSET": "EUC-JP"}).log_charset == "euc_jp"
    for unknown in ("klingon", "hex"):
        with pytest.raises(ConfigInvalid, match="is not the name of a text encoding"):
            load_config({}, {"DAGWAY_LOG_CHARSET": unknown})
