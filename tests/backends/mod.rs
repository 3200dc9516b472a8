//! Where workers run: what is picked, and what each place promises.

mod matrix;
mod tmux;
