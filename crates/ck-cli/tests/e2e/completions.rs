//! `ck completions`: what shells make of it.

use std::process::Command;

use crate::support::run;

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for part in ["migrate", "partitions", "token-file"] {
            assert!(
                script.contains(part),
                "{part} is not in the script for {shell}"
            );
        }
    }
    let output = run(&["completions", "tcsh"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("bash") && said.contains("zsh"), "{said}");
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let script = String::from_utf8(run(&["completions", "bash"]).stdout).unwrap();
    let completed = |words: &[&str]| {
        let last = words.len() - 1;
        let line = words.join(" ");
        let ask = format!(
            "{script}\nCOMP_WORDS=({line}); COMP_CWORD={last}; _ck ck \"{}\" \"{}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words[last],
            words[last - 1]
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(completed(&["ck", "mig"]).trim(), "migrate");
    assert!(completed(&["ck", "migrate", "--fr"]).contains("--from"));
    let states = completed(&["ck", "partitions", "--state", "un"]);
    assert_eq!(states.trim(), "unavailable");
}
