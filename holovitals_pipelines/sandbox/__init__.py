"""Simulated vendors on the loopback, with faults on demand, and the synthetic population they hold.

The law: nothing here is imported from `providers`, so that client and simulator cannot share a mistake.
"""
