"""MuJoCo: the Go2 model, randomised worlds, batched rollouts, the simulated robot.

Nothing here knows how policies are made; it runs them and tells what happened.
"""
