"""Results as JSON: whatever bytes the command line had."""

import os

from bangeod.cli.json_output import as_json
from bangeod.client import Entry, Status

NOT_UTF_8 = os.fsdecode(b"8.8.8.8\xe4")


def test_a_result_is_json_on_one_line() -> None:
    assert as_json([Entry("8.8.8.8", Status.RESOLVED, "CI", "Côte d\N{RIGHT SINGLE QUOTATION MARK}Ivoire")]) == (
        '[{"ip":"8.8.8.8","status":"resolved","country_code":"CI",'
        '"country_name":"Côte d\N{RIGHT SINGLE QUOTATION MARK}Ivoire","asn":null,"org":null,"origin":null}]'
    )


def test_what_is_no_utf_8_has_question_marks() -> None:
    assert as_json([Entry(NOT_UTF_8, Status.INVALID)]) == as_json([Entry("8.8.8.8?", Status.INVALID)])
