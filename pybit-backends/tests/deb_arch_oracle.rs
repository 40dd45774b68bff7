//! Architecture wildcards against `Dpkg::Arch`.

use std::process::Command;

use pybit_backends::deb::DebFormat;
use pybit_core::format::PackageFormat;
use pybit_core::model::Arch;

/// Prints a line for each wildcard or name: it, then every architecture that it matches.
///
/// Wildcards are all tuples of dpkg's architectures with each subset of words replaced by `any`, and their endings of
/// two and three words that `Dpkg::Arch` pads with `any`.
const PERL: &str = r#"
use Dpkg::Arch qw(get_valid_arches debarch_is debarch_to_debtuple);
my @arches = sort(get_valid_arches());
my %wild = map { $_ => 1 } 'any', 'all', 'source', 'linux-amd64', 'linux-armhf', 'no-such', 'any-any', @arches;
for my $arch (@arches) {
    my @tuple = debarch_to_debtuple($arch);
    for my $mask (1 .. 15) {
        my @words = map { $mask & (1 << $_) ? 'any' : $tuple[$_] } 0 .. 3;
        next if $words[3] ne 'any' && $words[3] !~ /^(amd64|arm|arm64|mips64el|m68k)$/;
        $wild{join '-', @words[$_ .. 3]} = 1 for 0 .. 2;
    }
}
for my $wild (sort keys %wild) {
    print join(' ', $wild, grep { debarch_is($_, $wild) } @arches), "\n";
}
"#;

#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn perl() -> String {
    let output = Command::new("perl").args(["-e", PERL]).output().expect("perl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
#[ignore = "needs perl with libdpkg-perl"]
fn every_wildcard_means_the_architectures_that_dpkg_says() {
    let answers = perl();
    let any = answers.lines().find(|l| l.starts_with("any ")).expect("the wildcard any");
    let served: Vec<Arch> =
        any.split(' ').skip(1).map(|a| a.parse().expect("an architecture")).collect();
    assert!(served.len() > 500, "{}", served.len());
    let format = DebFormat::new();
    let mut checked = 0;
    for line in answers.lines() {
        let (wildcard, expected) = line.split_once(' ').unwrap_or((line, ""));
        let expansion = format.expand(&[wildcard.to_owned()], &served).expect(wildcard);
        let got: Vec<&str> = expansion.arches.iter().map(Arch::as_str).collect();
        assert_eq!(got.join(" "), expected, "{wildcard}");
        assert_eq!(expansion.indep, wildcard == "all");
        checked += 1;
    }
    assert!(checked > 900, "{checked}");
}
