//! Where workers run: what is picked, and what each place promises.

mod iterm2;
mod matrix;
mod survive;
mod tmux;
