"""The cache of plans: bounded by their number and by the length of their texts."""

import gc
from weakref import ref

from services.scheduler.deciding.plans import Plans

MEGABYTE = 1024 * 1024


def test_plans_of_long_texts_do_not_fill_the_memory() -> None:
    plans = Plans()
    long = "x" * MEGABYTE
    made = [ref(plans.add_stored(f"steps:\n  - command: echo {n}\n# {long}\n", "a")) for n in range(40)]
    gc.collect()
    kept = [plan() is not None for plan in made]

    assert kept == sorted(kept), "the oldest are forgotten first"
    assert 10 < sum(kept) < 17


def test_the_plan_of_a_text_that_is_longer_than_all_room_is_kept() -> None:
    plans = Plans()
    huge = f"steps:\n  - command: echo huge\n# {'x' * 17 * MEGABYTE}\n"
    loaded = plans.load(huge)

    assert plans.load(huge) is loaded
