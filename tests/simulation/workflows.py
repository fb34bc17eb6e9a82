"""The workflows that the simulation runs: each kind of step, limit and relation that decisions depend on.

What a step does is decided by the simulated worker, so all commands are ``true``.
"""

__all__ = ["WORKFLOWS"]

_PLAIN = """
steps:
  - {name: a, command: "true"}
  - {name: b, command: "true", depends: a}
"""
_CHAIN = """
steps:
  - {name: a, command: "true"}
  - {name: b, command: "true", depends: a}
  - {name: c, command: "true", depends: b, retryPolicy: {limit: 3, intervalSec: 1}}
  - {name: d, command: "true", depends: c}
  - {name: e, command: "true", depends: d}
"""
_WIDE = """
placement: spread
steps:
  - {name: a, command: "true"}
  - {name: b, command: "true", depends: a}
  - {name: c, command: "true", depends: a, retryPolicy: {limit: 3, intervalSec: 1}}
  - {name: d, command: "true", depends: a, continueOn: {failure: true}}
  - {name: e, command: "true", depends: [b, c, d]}
handlerOn:
  exit: {command: "true"}
"""
_PATIENT = """
maxActiveRuns: 1
steps:
  - {name: a, command: "true", retryPolicy: {limit: 50, intervalSec: 1}}
  - {name: b, command: "true", depends: a, retryPolicy: {limit: 50, intervalSec: 2}}
"""
_POOLED = """
steps:
  - {name: a, command: "true", pool: few, depends: []}
  - {name: b, command: "true", pool: few, depends: []}
  - {name: c, command: "true", lock: alone, depends: []}
"""
_PARENT = """
steps:
  - {name: a, command: "true"}
  - {name: b, call: _child, depends: a}
  - {name: c, command: "true", depends: b}
"""
_CHILD = """
steps:
  - {name: a, command: "true", retryPolicy: {limit: 2, intervalSec: 1}}
"""
_TIMED = """
schedule: "* * * * *"
steps:
  - {name: a, command: "true"}
"""
_PREPARED = """
env:
  - NOW: "`date`"
steps:
  - {name: a, command: "true"}
handlerOn:
  failure: {command: "true"}
"""
_WHOLE = """
type: chain
env:
  - NOW: "`date`"
handlerOn:
  init: {command: "true"}
  success: {command: "true"}
  failure: {command: "true"}
  abort: {command: "true"}
  exit: {command: "true"}
steps:
  - {name: a, command: "true"}
  - {name: b, command: "true", continueOn: {failure: true}}
  - {name: c, command: "true"}
"""
_FAN_OUT = """
steps:
  - {name: a, command: "true"}
  - name: b
    call: _child
    parallel: {items: [1, 2, 3, 4], maxConcurrent: 2}
    depends: a
handlerOn:
  exit: {command: "true"}
"""
_APPROVED = """
type: chain
steps:
  - {name: a, command: "true"}
  - {name: gate, type: hitl}
  - {name: b, command: "true"}
handlerOn:
  wait: {command: "true"}
  exit: {command: "true"}
"""

WORKFLOWS = {
    "plain": _PLAIN,
    "chain": _CHAIN,
    "wide": _WIDE,
    "patient": _PATIENT,
    "pooled": _POOLED,
    "parent": _PARENT,
    "prepared": _PREPARED,
    "whole": _WHOLE,
    "fan_out": _FAN_OUT,
    "approved": _APPROVED,
    "_child": _CHILD,
    "_timed": _TIMED,
}
"""Spec by file name. Clients start no runs of those that begin with an underscore."""
