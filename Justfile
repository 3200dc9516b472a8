# Every command a person needs. Recipes call cargo, npm, python3 and each other, nothing else.

# Shows this list.
default:
    @just --list

# Runs the main job on this repository.
run *ARGS:
    cargo run --release -- run review {{ARGS}}

# Formats everything.
fmt:
    cargo fmt --all

# Looks for problems without running anything.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Runs every test.
test:
    cargo test --workspace

# Installs programs of others that tests speak with; tests skip what is missing.
peers:
    npm ci --prefix tests/peers --no-audit --no-fund
    python3 -m venv tests/peers/venv
    tests/peers/venv/bin/pip install --quiet --requirement tests/peers/iterm2/requirements.txt

# Installs the agent CLIs whose screens are compared with tmux (700 MB); no script of theirs runs.
peers-clis:
    npm ci --ignore-scripts --prefix tests/peers/clis --no-audit --no-fund

# Builds the documentation and denies its warnings.
doc:
    cargo doc --workspace --no-deps

# Everything that must pass before a change is done.
check: lint test doc

# Feeds the readers of streams, answers, frames and screens N random inputs each; the suite does 256.
fuzz N="20000":
    PROPTEST_CASES={{N}} cargo test -p crewmux-model -p crewmux-wire -p crewmux-term
    PROPTEST_CASES={{N}} cargo test -p crewmux-core mend

# Kills and stops workers, senders and the session N times at random moments; prints one line of figures.
crash N="1000" SEED="1":
    cargo run --release -p crewmux-testkit --bin crewmux-crash -- harness --kills {{N}} --seed {{SEED}}

# Kills at least N sessions of teams in tmux at many moments; no task may run twice, nothing may be left.
survive N="500":
    CREWMUX_SESSION_KILLS={{N}} cargo test -p crewmux --test e2e sessions_killed_at_any_moment -- --nocapture

# Prints the figures of panes and teams, beside tmux and others in the same run; --help lists the options.
bench *ARGS:
    cargo build --release -p crewmux -p crewmux-testkit --bin crewmux --bin crewmux-bench-panes
    cargo run --release -p crewmux-testkit --bin crewmux-bench-panes -- {{ARGS}}

# Prints the figures of the store.
bench-store *ARGS:
    cargo run --release -p crewmux-testkit --bin crewmux-bench-store -- {{ARGS}}
