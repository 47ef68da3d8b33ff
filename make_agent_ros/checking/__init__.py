"""Judges policies before a robot runs them: ranking, scenarios, three physics engines, the report.

Everything here measures; nothing here commands a robot. The verdict travels in the bundle.
"""
