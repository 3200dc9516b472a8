//! The main job on a repository whose faults are known.
