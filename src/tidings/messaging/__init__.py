"""The core of the framework: handlers, what reaches them, and what becomes of their results.

It knows no broker. To write an adapter for one, start at `adapter`; the way of a message through a
handler is in `plans.plan`.
"""
