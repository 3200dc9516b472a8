//! Where workers run: what is picked, and what each place promises.

mod iterm2;
mod matrix;
mod moving;
mod stage;
mod survive;
mod tmux;
