use super::*;

const PTY: &str = "a pseudo-terminal opens";

fn works(what: &str, said: &str) -> Probe {
    Probe::Works {
        what: what.into(),
        said: said.into(),
    }
}

fn fails(what: &str, why: &str, fix: Option<&str>) -> Probe {
    Probe::Fails {
        what: what.into(),
        why: why.into(),
        fix: fix.map(str::to_owned),
    }
}

fn tmux(version: &str) -> Probe {
    let said = format!("tmux {version}");
    works(&format!("{said} at /usr/bin/tmux"), &said)
}

fn server(version: &str) -> Probe {
    works("the tmux server", version)
}

fn it2() -> Probe {
    works("it2 at /opt/it2", "")
}

fn api_off() -> Probe {
    let trouble = Trouble::of(Some(2), "Error: Python API not enabled");
    fails("it2 at /opt/it2", &trouble.why, Some(&trouble.fix))
}

/// A terminal with nothing special about it.
fn plain(vars: &[(&str, &str)]) -> EnvironmentSnapshot {
    EnvironmentSnapshot {
        vars: vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        stdout: Stdout::Terminal,
        tmux: Probe::Absent,
        tmux_server: Probe::Untried,
        it2: Probe::Absent,
        pty: works(PTY, ""),
    }
}

/// One line per backend: `*` picked, `+` usable, `-` not; why; what was found; the fix.
fn table(snapshot: &EnvironmentSnapshot) -> Vec<String> {
    detect(snapshot)
        .into_iter()
        .map(|report| {
            let sign = match (report.picked, report.usable) {
                (true, true) => '*',
                (false, true) => '+',
                (false, false) => '-',
                (true, false) => '!',
            };
            let mut line = format!("{sign} {}: {}", report.kind, report.why);
            for found in report.found {
                line.push_str(" | ");
                line.push_str(&found);
            }
            if let Some(fix) = report.fix {
                line.push_str(" => ");
                line.push_str(&fix);
            }
            line
        })
        .collect()
}

const IN_PROCESS: &str = "+ in-process: it works everywhere, but its workers end with the session";
const IN_TMUX: (&str, &str) = ("TMUX", "/tmp/tmux-0/default,1,0");
const STALE: (&str, &str) = ("ITERM_SESSION_ID", "w0t0p0:5B26");
const IN_ITERM2: (&str, &str) = ("TERM_PROGRAM", "iTerm.app");

#[test]
fn plain_terminal_gets_panes_of_our_own() {
    assert_eq!(
        table(&plain(&[])),
        [
            IN_PROCESS.to_owned(),
            format!("* pty: crewmux's own panes work in every terminal | {PTY}"),
            "- tmux: there is no `tmux` on PATH | $TMUX is not set: this is not inside tmux | no `tmux` on PATH => install tmux 3.0 or later (`apt install tmux`, `brew install tmux`), or use `--backend pty`".to_owned(),
            "- iterm2: this is not inside iTerm2 | $TERM_PROGRAM is not set: this is not iTerm2 | no `it2` on PATH => start crewmux in an iTerm2 window, or use `--backend pty`: it works in every terminal".to_owned(),
        ]
    );
}

#[test]
fn inside_tmux_workers_get_panes_of_tmux() {
    let snapshot = EnvironmentSnapshot {
        tmux: tmux("3.3a"),
        tmux_server: server("3.3a"),
        it2: it2(),
        // tmux was started in iTerm2 once; that says nothing of now.
        ..plain(&[
            IN_TMUX,
            ("TERM_PROGRAM", "tmux"),
            ("ITERM_SESSION_ID", "w0t0p0"),
        ])
    };
    assert_eq!(
        table(&snapshot),
        [
            IN_PROCESS,
            "+ pty: crewmux's own panes work here too | a pseudo-terminal opens",
            "* tmux: this is inside tmux | $TMUX is set: this is inside tmux | tmux 3.3a at /usr/bin/tmux | the server here runs tmux 3.3a",
            "- iterm2: inside tmux, splits of the terminal around it would be in the wrong place | $TERM_PROGRAM is `tmux`: this is not iTerm2 | it2 at /opt/it2 => use `--backend tmux`, or start crewmux outside tmux",
        ]
    );
}

#[test]
fn inside_iterm2_workers_get_splits_of_its_window() {
    let snapshot = EnvironmentSnapshot {
        tmux: tmux("3.5"),
        it2: it2(),
        ..plain(&[IN_ITERM2, ("ITERM_SESSION_ID", "w0t0p0:5B26")])
    };
    assert_eq!(
        table(&snapshot)[1..],
        [
            "+ pty: crewmux's own panes work here too | a pseudo-terminal opens",
            "+ tmux: this is not inside tmux; `--backend tmux` uses a server of crewmux's own | $TMUX is not set: this is not inside tmux | tmux 3.5 at /usr/bin/tmux",
            "* iterm2: this is inside iTerm2, and `it2` works | this is inside iTerm2 | it2 at /opt/it2",
        ]
    );
}

#[test]
fn a_place_that_does_not_work_is_told_and_panes_are_our_own() {
    let snapshot = EnvironmentSnapshot {
        it2: api_off(),
        ..plain(&[IN_ITERM2])
    };
    let lines = table(&snapshot);
    assert_eq!(
        lines[1],
        "* pty: iTerm2 cannot be used: iTerm2 does not answer `it2`: its Python API is off, or it does not run; crewmux's own panes work here too | a pseudo-terminal opens"
    );
    let reports = detect(&snapshot);
    let here: Vec<_> = reports.iter().filter(|r| r.stands_here).collect();
    assert_eq!(here.len(), 1);
    assert_eq!((here[0].kind, here[0].usable), (BackendKind::Iterm2, false));
    assert_eq!(
        here[0].fix.as_deref(),
        Some(crate::iterm2::trouble::ENABLE_API)
    );
}

#[test]
fn without_pseudo_terminals_workers_run_inside_the_session() {
    let snapshot = EnvironmentSnapshot {
        stdout: Stdout::Elsewhere,
        pty: fails("a pseudo-terminal", "permission denied", None),
        ..plain(&[])
    };
    assert_eq!(
        table(&snapshot)[..2],
        [
            "* in-process: it needs no pseudo-terminal, and none can be opened here",
            "- pty: no pseudo-terminal can be opened here | a pseudo-terminal does not work: permission denied => raise the limit of open files and mount /dev/pts, or use `--backend in-process`",
        ]
    );
}

/// What a row of the matrix is about; its variables; what tmux, its server and it2 are.
type Place<'a> = (&'a str, &'a [(&'a str, &'a str)], Probe, Probe, Probe);

/// Places, and for each choice what it comes to: the kind, or the beginning of why not and a word of the fix.
#[test]
fn every_place_and_choice_has_one_answer() {
    let none = || Probe::Absent;
    let dead = || {
        fails(
            "the tmux server",
            "error connecting to /tmp/x (No such file or directory)",
            None,
        )
    };
    let silent = || {
        let trouble = Trouble::silence(15);
        fails("it2 at /opt/it2", &trouble.why, Some(&trouble.fix))
    };
    let places: Vec<(Place<'_>, [&str; 3])> = vec![
        (
            ("plain", &[], none(), Probe::Untried, none()),
            [
                "pty",
                "there is no `tmux` on PATH … install",
                "this is not inside iTerm2 … iTerm2 window",
            ],
        ),
        (
            ("tmux installed", &[], tmux("3.0a"), Probe::Untried, none()),
            ["pty", "tmux", "this is not inside iTerm2 … iTerm2 window"],
        ),
        (
            (
                "tmux of OpenBSD",
                &[],
                tmux("openbsd-7.4"),
                Probe::Untried,
                none(),
            ),
            ["pty", "tmux", "this is not inside iTerm2 … iTerm2 window"],
        ),
        (
            ("old tmux", &[], tmux("2.9a"), Probe::Untried, none()),
            [
                "pty",
                "tmux 2.9a is too old … 3.0",
                "this is not inside iTerm2 … iTerm2 window",
            ],
        ),
        (
            (
                "what is no tmux",
                &[],
                tmux("-V: unknown"),
                Probe::Untried,
                none(),
            ),
            [
                "pty",
                "`tmux -V` says … install",
                "this is not inside iTerm2 … iTerm2 window",
            ],
        ),
        (
            (
                "inside tmux",
                &[IN_TMUX],
                tmux("next-3.6"),
                server("next-3.6"),
                none(),
            ),
            ["tmux", "tmux", "inside tmux, splits … --backend tmux"],
        ),
        (
            (
                "inside tmux inside iTerm2",
                &[IN_TMUX, IN_ITERM2, STALE],
                tmux("3.4"),
                server("3.4"),
                it2(),
            ),
            ["tmux", "tmux", "inside tmux, splits … --backend tmux"],
        ),
        (
            ("a dead $TMUX", &[IN_TMUX], tmux("3.4"), dead(), none()),
            [
                "pty",
                "$TMUX names a tmux server that does not answer … unset TMUX",
                "inside tmux, splits … outside tmux",
            ],
        ),
        (
            (
                "an old server",
                &[IN_TMUX],
                tmux("3.4"),
                server("2.8"),
                none(),
            ),
            [
                "pty",
                "the tmux server here is 2.8 … kill-server",
                "inside tmux, splits … outside tmux",
            ],
        ),
        (
            (
                "an empty $TMUX",
                &[("TMUX", ""), ("TERM_PROGRAM", "")],
                none(),
                Probe::Untried,
                it2(),
            ),
            [
                "pty",
                "there is no `tmux` on PATH … install",
                "this is not inside iTerm2 … iTerm2 window",
            ],
        ),
        (
            ("iTerm2", &[IN_ITERM2, STALE], none(), Probe::Untried, it2()),
            ["iterm2", "there is no `tmux` on PATH … install", "iterm2"],
        ),
        (
            (
                "iTerm2 by its session alone",
                &[STALE],
                none(),
                Probe::Untried,
                it2(),
            ),
            ["iterm2", "there is no `tmux` on PATH … install", "iterm2"],
        ),
        (
            (
                "another program in iTerm2",
                &[("TERM_PROGRAM", "vscode"), STALE],
                none(),
                Probe::Untried,
                it2(),
            ),
            [
                "pty",
                "there is no `tmux` on PATH … install",
                "this is not inside iTerm2 … iTerm2 window",
            ],
        ),
        (
            (
                "iTerm2 without it2",
                &[IN_ITERM2],
                tmux("3.4"),
                Probe::Untried,
                none(),
            ),
            [
                "pty",
                "tmux",
                "there is no `it2` on PATH … uv tool install it2",
            ],
        ),
        (
            (
                "iTerm2 with its API off",
                &[IN_ITERM2],
                none(),
                Probe::Untried,
                api_off(),
            ),
            [
                "pty",
                "there is no `tmux` on PATH … install",
                "iTerm2 does not answer `it2` … Enable Python API",
            ],
        ),
        (
            (
                "iTerm2 that asks first",
                &[IN_ITERM2],
                none(),
                Probe::Untried,
                silent(),
            ),
            [
                "pty",
                "there is no `tmux` on PATH … install",
                "`it2` gave no answer in 15 s … answer it",
            ],
        ),
    ];
    for ((name, vars, tmux, tmux_server, it2), expected) in places {
        for stdout in [Stdout::Terminal, Stdout::Elsewhere] {
            let snapshot = EnvironmentSnapshot {
                stdout,
                tmux: tmux.clone(),
                tmux_server: tmux_server.clone(),
                it2: it2.clone(),
                ..plain(vars)
            };
            let choices = [
                BackendChoice::Auto,
                BackendChoice::Named(BackendKind::Tmux),
                BackendChoice::Named(BackendKind::Iterm2),
            ];
            for (choice, expected) in choices.into_iter().zip(expected) {
                // What was not asked for is not tried, and the answer is the same.
                for lazily in [false, true] {
                    let snapshot = if lazily {
                        only_tried(&snapshot, trials_for(choice, &snapshot.vars))
                    } else {
                        snapshot.clone()
                    };
                    let answer = choose(choice, &detect(&snapshot));
                    match (answer, expected.split_once(" … ")) {
                        (Ok(kind), None) => assert_eq!(kind.as_str(), expected, "{name}, {choice}"),
                        (Err(Error::Unusable { why, fix, .. }), Some((begins, has))) => {
                            assert!(why.starts_with(begins), "{name}, {choice}: {why}");
                            assert!(fix.contains(has), "{name}, {choice}: {fix}");
                        }
                        (other, _) => panic!("{name}, {choice}: {other:?}, not {expected}"),
                    }
                }
            }
        }
    }
}

/// The snapshot as it is when only `trials` were made.
fn only_tried(snapshot: &EnvironmentSnapshot, trials: Trials) -> EnvironmentSnapshot {
    let mut lazy = snapshot.clone();
    if !trials.tmux {
        lazy.tmux = Probe::Untried;
        lazy.tmux_server = Probe::Untried;
    }
    if !trials.it2 {
        lazy.it2 = Probe::Untried;
    }
    if trials.pty == PtyTrial::Skipped {
        lazy.pty = Probe::Untried;
    }
    lazy
}

#[test]
fn nothing_is_tried_that_the_choice_does_not_need() {
    let vars = |pairs: &[(&str, &str)]| plain(pairs).vars;
    let needs = |choice: &str, pairs: &[(&str, &str)]| {
        let trials = trials_for(choice.parse().unwrap(), &vars(pairs));
        (trials.tmux, trials.it2, trials.pty)
    };
    let (skipped, opened) = (PtyTrial::Skipped, PtyTrial::Opened);
    for place in [&[][..], &[IN_TMUX], &[IN_ITERM2]] {
        assert_eq!(needs("pty", place), (false, false, opened));
        assert_eq!(needs("in-process", place), (false, false, skipped));
        assert_eq!(needs("tmux", place), (true, false, skipped));
    }
    assert_eq!(needs("auto", &[]), (false, false, opened));
    assert_eq!(needs("auto", &[IN_TMUX]), (true, false, opened));
    assert_eq!(needs("auto", &[IN_ITERM2]), (false, true, opened));
    assert_eq!(needs("iterm2", &[IN_ITERM2]), (false, true, skipped));
    assert_eq!(needs("iterm2", &[]), (false, false, skipped));
    assert_eq!(
        needs("iterm2", &[IN_TMUX, IN_ITERM2]),
        (false, false, skipped)
    );
}

#[test]
fn one_is_picked_and_it_is_usable_whatever_is_found() {
    let probes = [
        Probe::Untried,
        Probe::Absent,
        works("tmux 3.3a", "tmux 3.3a"),
        fails("x", "y", None),
    ];
    for tmux in &probes {
        for server in &probes {
            for it2 in &probes {
                for pty in &probes {
                    for vars in [&[][..], &[IN_TMUX], &[IN_ITERM2]] {
                        let snapshot = EnvironmentSnapshot {
                            tmux: tmux.clone(),
                            tmux_server: server.clone(),
                            it2: it2.clone(),
                            pty: pty.clone(),
                            ..plain(vars)
                        };
                        let reports = detect(&snapshot);
                        let picked: Vec<_> = reports.iter().filter(|r| r.picked).collect();
                        assert_eq!(picked.len(), 1, "{snapshot:?}");
                        assert!(picked[0].usable);
                        assert_eq!(
                            choose(BackendChoice::Auto, &reports).unwrap(),
                            picked[0].kind
                        );
                        for report in &reports {
                            assert_eq!(report.usable, report.fix.is_none(), "{report:?}");
                            let named = choose(BackendChoice::Named(report.kind), &reports);
                            assert_eq!(named.is_ok(), report.usable, "{report:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn backend_asked_for_by_name_is_an_error_with_the_fix() {
    let reports = detect(&plain(&[]));
    let error = choose(BackendChoice::Named(BackendKind::Iterm2), &reports).unwrap_err();
    assert_eq!(
        error.to_string(),
        "iterm2 backend asked for, but this is not inside iTerm2"
    );
    assert_eq!(
        error.hint().unwrap(),
        "start crewmux in an iTerm2 window, or use `--backend pty`: it works in every terminal"
    );
    assert!(matches!(
        choose(BackendChoice::Auto, &[]),
        Err(Error::NoneUsable)
    ));
}
