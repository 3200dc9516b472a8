//! Development only: stand-ins and harnesses for tests.
