//! `pybit vercmp`.

use crate::Lone;

#[test]
fn versions_order_as_dpkg_orders_them() {
    let pybit = Lone::new();
    let table = [
        ("1.0~rc1", "<", "1.0"),
        ("1.0", "<", "1.0+b1"),
        ("1:0", ">", "9"),
        ("2.10", ">", "2.9"),
        ("1.0", "=", "1.00"),
        ("1-0", "=", "1"),
        ("1~~", "<", "1~"),
        ("1.0a", "<", "1.0+"),
    ];
    for (a, sign, b) in table {
        let said = pybit.run(&["vercmp", "deb", a, b]);
        assert_eq!((said.out.as_str(), said.code), (&*format!("{sign}\n"), 0), "{a} {b}");
    }
    let lines = table.map(|(a, _, b)| format!("{a} {b}")).join("\n");
    let said = pybit.feed(&["vercmp", "deb", "--stdin"], lines.as_bytes());
    let signs = table.map(|(_, sign, _)| sign).join("\n") + "\n";
    assert_eq!((said.out, said.code), (signs, 0));
}

#[test]
fn a_faulty_line_is_named_after_the_answers_before_it() {
    let said = Lone::new().feed(&["vercmp", "deb", "--stdin"], b"1 2\n2 1\n1 $(id)\n1 2\n");
    assert_eq!((said.out.as_str(), said.code), ("<\n>\n", 1));
    assert!(
        said.err.starts_with("pybit: line 3: ") && said.err.lines().count() == 1,
        "{}",
        said.err
    );
}

#[test]
fn an_invalid_version_and_an_unknown_format_are_refused() {
    let pybit = Lone::new();
    for args in [
        &["vercmp", "deb", "", "1"][..],
        &["vercmp", "deb", "1", "1;id"],
        &["vercmp", "deb", "a", "1"],
        &["vercmp", "tar", "1", "1"],
        &["vercmp", "deb", "1"],
        &["vercmp", "deb"],
        &["vercmp", "deb", "1", "2", "--stdin"],
    ] {
        pybit.refused(args);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let pybit = Lone::new();
    let mut command = pybit.command(&["vercmp", "deb", "--stdin"]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // More answers than a pipe holds; writing fails once the program has ended.
    let lines = "1 2\n".repeat(200_000);
    let _ = std::io::Write::write_all(&mut stdin, lines.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
