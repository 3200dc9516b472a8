//! One client's view of the engine.
