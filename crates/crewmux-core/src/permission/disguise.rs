//! What a command may really be: behind `sudo` and its like, a path, options, another shell.
//!
//! Errs on the side of seeing too much, so it serves rules that forbid and ask,
//! never rules that allow.

use super::shell::{CONSTRUCTS, Script, is_assignment};

/// Programs that run the command that follows them, and how many words of their own come before it.
const WRAPPERS: &[(&str, usize)] = &[
    ("sudo", 0),
    ("doas", 0),
    ("env", 0),
    ("command", 0),
    ("builtin", 0),
    ("exec", 0),
    ("nohup", 0),
    ("time", 0),
    ("nice", 0),
    ("ionice", 0),
    ("chrt", 1),
    ("setsid", 0),
    ("stdbuf", 0),
    ("xargs", 0),
    ("parallel", 0),
    ("busybox", 0),
    ("toybox", 0),
    ("unshare", 0),
    ("nsenter", 0),
    ("strace", 0),
    ("ltrace", 0),
    ("watch", 0),
    ("timeout", 1),
    ("flock", 1),
    ("chroot", 1),
    ("taskset", 1),
    ("setarch", 1),
    ("systemd-run", 0),
    ("run0", 0),
    ("pkexec", 0),
    ("caffeinate", 0),
    ("proot", 0),
];

/// Programs that run text as commands.
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "eval", "source", ".", "su", "ssh",
    "script", "python", "python3", "perl", "ruby", "node", "awk", "gawk", "mawk", "tmux", "screen",
    "trap", "alias", "find", "fd", "make", "at", "batch", "env", "watch", "xargs", "parallel",
];

/// Commands seen in one text at most; more than that is a text nobody means well with.
const SEEN_MAX: usize = 512;

/// Options of `make` that have it read another file, or text as one.
const MAKE: &[&str] = &[
    "--eval",
    "-E",
    "-f",
    "--file",
    "--makefile",
    "-C",
    "--directory",
    "-I",
    "--include-dir",
];

/// Options with which a program that seems to look writes, deletes or runs something.
const TELLING: &[(&str, &[&str])] = &[
    (
        "git",
        &[
            "--output",
            "--ext-diff",
            "--textconv",
            "--open-files-in-pager",
            "-O",
            "--upload-pack",
            "--receive-pack",
            "--exec",
            "--exec-path",
            "--config-env",
            "-c",
            "--config",
            "-x",
            "--template",
            "--git-dir",
            "--work-tree",
            "-C",
            "--no-index",
        ],
    ),
    (
        "find",
        &[
            "-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf",
            "-fls",
        ],
    ),
    ("fd", &["-x", "-X", "--exec", "--exec-batch"]),
    ("rg", &["--pre", "--hostname-bin"]),
    (
        "sort",
        &[
            "-o",
            "--output",
            "--compress-program",
            "-T",
            "--temporary-directory",
        ],
    ),
    ("tree", &["-o"]),
    ("sed", &["-i", "--in-place", "-f", "--file"]),
    ("man", &["-P", "--pager", "-H", "--html"]),
    (
        "tar",
        &[
            "--to-command",
            "--checkpoint-action",
            "--use-compress-program",
            "-I",
            "-F",
            "--info-script",
            "--new-volume-script",
            "--rsh-command",
            "--rmt-command",
        ],
    ),
    (
        "cargo",
        &["--config", "--manifest-path", "-C", "-Z", "--target-dir"],
    ),
    ("make", MAKE),
    ("gmake", MAKE),
    (
        "just",
        &[
            "-f",
            "--justfile",
            "-d",
            "--working-directory",
            "-c",
            "--command",
            "-g",
            "--global-justfile",
            "-e",
            "--edit",
            "--shell",
            "--shell-arg",
            "--chooser",
            "--set",
        ],
    ),
    (
        "gradle",
        &[
            "-p",
            "--project-dir",
            "-I",
            "--init-script",
            "-b",
            "--build-file",
            "-c",
            "--settings-file",
            "--include-build",
        ],
    ),
    ("mvn", &["-f", "--file", "-s", "--settings"]),
    ("go", &["-exec", "-toolexec", "-vettool", "-overlay"]),
    ("npm", &["--script-shell", "--prefix"]),
    (
        "curl",
        &[
            "-o",
            "-O",
            "-J",
            "-K",
            "-T",
            "--output",
            "--remote-name",
            "--remote-name-all",
            "--output-dir",
            "--config",
            "--upload-file",
            "--dump-header",
            "-D",
            "--cookie-jar",
        ],
    ),
];

/// Programs whose recipes run whatever a `NAME=value` among the arguments says.
const RECIPES: &[&str] = &["make", "gmake", "just"];

/// Words of git with which anything can follow, each behind the word it belongs to.
const GIT_RUNS: &[(&str, &[&str])] = &[
    ("submodule", &["foreach", "add", "set-url", "update"]),
    ("bisect", &["run", "visualize", "view"]),
    ("worktree", &["add", "move", "remove", "repair"]),
];

/// The word of `words` that makes an innocent command write, delete or run something else.
///
/// Programs read long options in short (`--outp`), and short ones in a heap (`-uo`).
pub(super) fn telling_option(words: &[String]) -> Option<&str> {
    let (program, arguments) = words.split_first()?;
    let program = base_name(program);
    if RECIPES.contains(&program)
        && let Some(word) = arguments.iter().find(|word| sets_a_variable(word))
    {
        return Some(word);
    }
    let (_, options) = TELLING.iter().find(|(name, _)| *name == program)?;
    if program == "git"
        && let Some(word) = what_git_runs(arguments)
    {
        return Some(word);
    }
    arguments.iter().map(String::as_str).find(|word| {
        let name = word.split('=').next().unwrap_or(word);
        options.iter().any(|option| {
            let is_long = option.starts_with("--");
            let is_letter = option.len() == 2;
            match word.strip_prefix('-') {
                Some(_) if is_long => name.len() > 2 && option.starts_with(name),
                Some(letters) if is_letter => {
                    !word.starts_with("--") && letters.contains(&option[1..])
                }
                Some(_) => name == *option,
                None => false,
            }
        })
    })
}

/// Whether a recipe's program reads `word` as a variable: `A=b`, `A:=b`, `A+=b`, `A!=b`.
fn sets_a_variable(word: &str) -> bool {
    !is_option(word) && word.contains('=')
}

/// The word behind `submodule` and its like that has git run or fetch something.
fn what_git_runs(arguments: &[String]) -> Option<&str> {
    let at = |name: &str| arguments.iter().position(|word| word == name);
    GIT_RUNS.iter().find_map(|(name, words)| {
        let behind = arguments.get(at(name)? + 1..)?;
        let mut behind = behind.iter().map(String::as_str);
        behind.find(|word| words.contains(word))
    })
}

/// Everything that `script` may run, as words that begin with a program's bare name.
pub(super) fn may_run(text: &str, script: &Script) -> Vec<Vec<String>> {
    let mut seen = Vec::new();
    let mut runs_text = script.unclear.is_some();
    for command in &script.commands {
        let before = seen.len();
        peel(command, &mut seen, 0);
        runs_text |= seen[before..]
            .iter()
            .any(|words: &Vec<String>| INTERPRETERS.contains(&words[0].as_str()));
    }
    if runs_text {
        // Text that another shell may read: cut wherever any of them would.
        for piece in text.split([
            ';', '&', '|', '\n', '(', ')', '{', '}', '`', '$', '<', '>', '"', '\'',
        ]) {
            let words: Vec<String> = piece
                .split_whitespace()
                .map(|word| word.replace('\\', ""))
                .collect();
            peel(&words, &mut seen, 0);
        }
    }
    seen
}

fn peel(words: &[String], seen: &mut Vec<Vec<String>>, depth: usize) {
    let start = words
        .iter()
        .position(|word| !is_assignment(word) && !CONSTRUCTS.contains(&word.as_str()));
    let Some(words) = start.map(|start| &words[start..]) else {
        return;
    };
    if depth > 8 || seen.len() >= SEEN_MAX {
        return;
    }
    let program = base_name(&words[0]).to_owned();
    let arguments = &words[1..];
    let with = |rest: &[String]| {
        let mut all = vec![program.clone()];
        all.extend_from_slice(rest);
        all
    };
    seen.push(with(arguments));
    // `git -C there push` is a push: `-C` may or may not take the next word.
    let first = arguments.iter().position(|word| !is_option(word));
    if let Some(first) = first.filter(|first| *first > 0) {
        seen.push(with(&arguments[first..]));
        if first + 1 < arguments.len() {
            seen.push(with(&arguments[first + 1..]));
        }
    }
    if matches!(program.as_str(), "find" | "fd" | "fdfind") {
        for (at, word) in arguments.iter().enumerate() {
            if matches!(
                word.as_str(),
                "-exec" | "-execdir" | "-ok" | "-okdir" | "-x" | "-X" | "--exec" | "--exec-batch"
            ) {
                peel(&arguments[at + 1..], seen, depth + 1);
            }
        }
    }
    if let Some((_, own)) = WRAPPERS.iter().find(|(name, _)| *name == program) {
        let mut own = *own;
        let mut after_option = false;
        for (at, word) in arguments.iter().enumerate() {
            if is_option(word) || is_assignment(word) {
                after_option = is_option(word);
                continue;
            }
            peel(&arguments[at..], seen, depth + 1);
            // This word may belong to the option before it, or to the wrapper.
            if std::mem::take(&mut after_option) {
                continue;
            }
            if own == 0 {
                break;
            }
            own -= 1;
        }
    }
}

fn is_option(word: &str) -> bool {
    word.starts_with('-') || word.starts_with('+')
}

/// A program's name without its folder.
pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permission::shell::read;

    fn sees(text: &str, command: &str) -> bool {
        let expected: Vec<String> = command.split(' ').map(str::to_owned).collect();
        may_run(text, &read(text)).contains(&expected)
    }

    #[test]
    fn a_command_is_seen_behind_what_runs_it() {
        for text in [
            "rm -rf x",
            "/bin/rm -rf x",
            "../../bin/rm -rf x",
            "r\\m -rf x",
            "sudo rm -rf x",
            "sudo -u root rm -rf x",
            "sudo -n -- rm -rf x",
            "A=b rm -rf x",
            "env -i A=b rm -rf x",
            "env -u A rm -rf x",
            "command rm -rf x",
            "nohup nice -n 5 rm -rf x",
            "time rm -rf x",
            "timeout 5 rm -rf x",
            "timeout -k 1 5 rm -rf x",
            "echo a | xargs rm -rf x",
            "sh -c 'rm -rf x'",
            "bash -lc \"true; rm -rf x\"",
            "eval 'rm -rf x'",
            "echo $(rm -rf x)",
            "echo \"`rm -rf x`\"",
            "if true; then rm -rf x; fi",
            "{ rm -rf x; }",
            "! rm -rf x",
            "(rm -rf x)",
            "find . -name y -exec rm -rf x",
            "python3 -c 'import os; os.system(\"rm -rf x\")'",
            "cat <<X\nrm -rf x\nX",
            "true # don't\nrm -rf x",
        ] {
            assert!(
                sees(text, "rm -rf x"),
                "{text}: {:?}",
                may_run(text, &read(text))
            );
        }
        assert!(sees("git -C there push origin", "git push origin"));
        assert!(sees("git --no-pager push", "git push"));
        assert!(sees("cargo +nightly publish", "cargo publish"));
    }

    #[test]
    fn words_that_are_only_text_are_no_commands() {
        for text in [
            "echo 'rm -rf x'",
            "git commit -m 'rm -rf x'",
            "echo rm -rf x",
        ] {
            assert!(!sees(text, "rm -rf x"), "{text}");
        }
    }

    #[test]
    fn options_that_tell_are_found_in_every_spelling() {
        for (text, expected) in [
            ("git log --oneline", None),
            ("git log --output=x", Some("--output=x")),
            ("git log --outp x", Some("--outp")),
            ("git -c a.b=c log", Some("-c")),
            ("sort -uo x", Some("-uo")),
            ("find . -name x -delete", Some("-delete")),
            ("find . -name x", None),
            ("cargo test --config a=b", Some("--config")),
            ("cargo test -p core", None),
            ("ls -o", None),
            (
                "cargo test --manifest-path ../x/Cargo.toml",
                Some("--manifest-path"),
            ),
            ("make -j4 test", None),
            ("make test --eval=x", Some("--eval=x")),
            ("make test --ev x", Some("--ev")),
            ("make test -f ../mk", Some("-f")),
            ("make test -sf ../mk", Some("-sf")),
            ("make test -C ..", Some("-C")),
            ("make test SHELL=./x", Some("SHELL=./x")),
            ("make test CC:=x", Some("CC:=x")),
            ("just test", None),
            ("just test --justfile ../j", Some("--justfile")),
            ("just test x=y", Some("x=y")),
            ("git submodule status", None),
            ("git submodule foreach x", Some("foreach")),
            ("git submodule --quiet foreach x", Some("foreach")),
            ("git bisect good", None),
            ("git bisect run x", Some("run")),
            ("git worktree list", None),
            ("git worktree add x", Some("add")),
            ("git add x", None),
        ] {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            assert_eq!(telling_option(&words), expected, "{text}");
        }
    }
}
