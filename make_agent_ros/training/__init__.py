"""Training: behaviour space, teacher (PPO), policy zoo, and fitting the generator to it.

Everything here is seeded, resumable and run by `make-agent train`.
"""
