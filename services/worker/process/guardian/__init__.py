"""What runs in the guardian, a process without the worker's libraries: these modules import the standard library only.

``shared.system``, which they use too, obeys the same rule. The worker starts the guardian by ``guardian_process`` and
talks to it by ``guardian_client``.
"""
