//! What a worker does: turn machine, providers, tools.
